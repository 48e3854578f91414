/** What charts show, in ECharts' words. */
import type { Shapes } from '../api/client';
import { STATES } from './filters';

/** One colour for each state, the same in every chart; neighbours differ in lightness too. */
export const STATE_COLOURS: Record<string, string> = {
  draft: '#9aa3ad', submitted: '#2f6fb5', returned: '#d9a441', approved: '#4c9a57', amended: '#8b5cb8', archived: '#5f6670', voided: '#c9ced4',
};
/** Canvases do not take the page's letters by themselves. */
const TEXT = { color: '#1b1f24', fontSize: 13, fontFamily: '"Microsoft YaHei", "PingFang SC", "Noto Sans CJK SC", "Source Han Sans SC", system-ui, sans-serif' };

/** Bars of units, split by state. The first unit stands on top: the axis counts from below. */
export function unitsOption(units: Shapes['UnitCount'][], word: (state: string) => string) {
  const rows = [...units].reverse();
  const count = (unit: Shapes['UnitCount'], state: string) => unit.states.find((one) => one.state === state)?.records ?? 0;
  return {
    grid: { left: 8, right: 24, top: 30, bottom: 4, containLabel: true },
    legend: { top: 0, textStyle: TEXT, itemHeight: 10, itemWidth: 14 },
    tooltip: { trigger: 'axis', renderMode: 'richText', confine: true },
    xAxis: { type: 'value', minInterval: 1, axisLabel: TEXT },
    yAxis: { type: 'category', data: rows.map((unit) => unit.name), axisLabel: { ...TEXT, width: 110, overflow: 'truncate' } },
    series: STATES.filter((state) => rows.some((unit) => count(unit, state) > 0)).map((state) => ({
      id: state, name: word(state), type: 'bar', stack: 'all', itemStyle: { color: STATE_COLOURS[state] }, barMaxWidth: 18,
      data: rows.map((unit) => count(unit, state)),
    })),
  };
}

/** Two bars a month: records that were new, and records that were last heard of. */
export function monthsOption(months: Shapes['MonthCount'][], words: { first: string; received: string }) {
  return {
    grid: { left: 8, right: 12, top: 30, bottom: 4, containLabel: true },
    legend: { top: 0, textStyle: TEXT, itemHeight: 10, itemWidth: 14 },
    tooltip: { trigger: 'axis', renderMode: 'richText', confine: true },
    xAxis: { type: 'category', data: months.map((one) => one.month), axisLabel: TEXT },
    yAxis: { type: 'value', minInterval: 1, axisLabel: TEXT },
    series: (['first', 'received'] as const).map((id, at) => ({
      id, name: words[id], type: 'bar', barMaxWidth: 22, itemStyle: { color: ['#0b4f94', '#9dbfe3'][at] }, data: months.map((one) => one[id]),
    })),
  };
}

/** Degrees around the outermost points. */
const MARGIN_DEGREES = 0.05;

/** West, east, south, north of all points, with a margin, in hundredths of a degree. */
export function bounds(points: { latitude: number; longitude: number }[]) {
  const span = (values: number[]) => {
    const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
    return [Math.floor((low - MARGIN_DEGREES) * 100) / 100, Math.ceil((high + MARGIN_DEGREES) * 100) / 100];
  };
  return { longitude: span(points.map((point) => point.longitude)), latitude: span(points.map((point) => point.latitude)) };
}

/** Records of one state that are shown at one place: coarse positions coincide. */
export interface Spot {
  latitude: number;
  longitude: number;
  points: Shapes['Point'][];
}

/** The spots of each state that has any. */
export function spotsOf(points: Shapes['Point'][]): { state: string; spots: Spot[] }[] {
  const byState = STATES.map((state) => {
    const spots = new Map<string, Spot>();
    for (const point of points.filter((one) => one.state === state)) {
      const { latitude, longitude } = point;
      const key = `${latitude} ${longitude}`;
      const spot = spots.get(key) ?? { latitude, longitude, points: [] };
      spot.points.push(point);
      spots.set(key, spot);
    }
    return { state, spots: [...spots.values()] };
  });
  return byState.filter(({ spots }) => spots.length > 0);
}

/** Width of a spot with so many records, in pixels: its area grows with them. */
export function spotWidth(records: number): number {
  return Math.min(48, Math.round(8 * Math.sqrt(records)));
}

/** Spots over a net of degrees, coloured by state; the wheel and dragging move it. */
export function pointsOption(points: Shapes['Point'][], word: (state: string) => string) {
  const around = bounds(points);
  const axis = { type: 'value', axisLabel: { ...TEXT, formatter: (value: number) => `${value.toFixed(2)}°` }, splitLine: { lineStyle: { color: '#dfe3e8' } }, splitNumber: 6 };
  type Item = { seriesName: string; value: [number, number, number] };
  return {
    grid: { left: 8, right: 24, top: 30, bottom: 8, containLabel: true },
    legend: { top: 0, textStyle: TEXT, itemHeight: 10, itemWidth: 14 },
    tooltip: { trigger: 'item', renderMode: 'richText', confine: true, formatter: ({ seriesName, value }: Item) => `${seriesName}: ${value[2]}\n${value[1].toFixed(4)}, ${value[0].toFixed(4)}` },
    xAxis: { ...axis, min: around.longitude[0], max: around.longitude[1] },
    yAxis: { ...axis, min: around.latitude[0], max: around.latitude[1] },
    dataZoom: [{ type: 'inside', xAxisIndex: 0, filterMode: 'none' }, { type: 'inside', yAxisIndex: 0, filterMode: 'none' }],
    series: spotsOf(points).map(({ state, spots }) => ({
      id: state, name: word(state), type: 'scatter', symbolSize: ([, , records]: number[]) => spotWidth(records ?? 1),
      itemStyle: { color: STATE_COLOURS[state], opacity: 0.75, borderColor: '#fff', borderWidth: 1 },
      data: spots.map((spot) => [spot.longitude, spot.latitude, spot.points.length]),
    })),
  };
}
