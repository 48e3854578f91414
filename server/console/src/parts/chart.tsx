import { BarChart, ScatterChart } from 'echarts/charts';
import { DataZoomComponent, GridComponent, LegendComponent, TooltipComponent } from 'echarts/components';
import { init, use, type EChartsCoreOption, type ECharts } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';
import { useEffect, useRef } from 'react';

use([BarChart, ScatterChart, DataZoomComponent, GridComponent, LegendComponent, TooltipComponent, CanvasRenderer]);

/** What was clicked: the series' id and the place in its data. */
export interface Clicked {
  series: string;
  at: number;
}

interface Props {
  /** What it shows, for who does not see it; the numbers stand in a table beside. */
  label: string;
  option: EChartsCoreOption;
  height: number;
  onClick?: (clicked: Clicked) => void;
}

/** Nothing moves in pictures of tests, or where the user wants that. */
const STILL = navigator.webdriver || window.matchMedia('(prefers-reduced-motion: reduce)').matches;
/** Tips are drawn on the canvas: the page's policy allows no styles inside of HTML. */
const COMMON = { animation: !STILL, tooltip: { renderMode: 'richText', confine: true } };

/** A chart, as wide as its place. */
export default function Chart({ label, option, height, onClick }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts>(undefined);
  const click = useRef(onClick);
  useEffect(() => {
    click.current = onClick;
  });
  useEffect(() => {
    if (!place.current) return undefined;
    const made = init(place.current);
    chart.current = made;
    made.on('click', ({ seriesId, dataIndex }) => click.current?.({ series: seriesId ?? '', at: dataIndex }));
    const watch = new ResizeObserver(() => made.resize());
    watch.observe(place.current);
    return () => {
      watch.disconnect();
      made.dispose();
    };
  }, []);
  useEffect(() => {
    chart.current?.setOption({ ...COMMON, ...option }, { notMerge: true });
  }, [option]);
  return <div ref={place} role="img" aria-label={label} style={{ height }} />;
}
