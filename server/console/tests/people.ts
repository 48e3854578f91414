/** People who do not exist, with valid ID numbers, for the stage's records. The same number gives the same person. */

const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECK = '10X98765432';
const SURNAMES = ['才让', '仁青', '多杰', '尕藏', '拉毛', '扎西', '索南', '华旦', '马', '李', '王', '张', '韩', '祁', '冶', '赵'];
const GIVEN = ['卓玛', '措吉', '才旦', '东智', '本加', '玉兰', '占福', '海明', '建国', '秀花', '存林', '生莲', '文清', '桂英'];
const ROADS = ['热旭日村', '夏德日村', '措日更村', '东科日村', '智格日村', '团结村', '宁秀社区', '多龙村'];
const CAUSES = ['1', '2', '3', '6', '8', '9'];

export interface Person {
  name: string;
  idNo: string;
  birthDate: string;
  sex: '1' | '2';
}

/** The ID number of a birth (`YYYYMMDD`) at 泽库县; an odd serial is male. */
export function idNumber(birth: string, serial: number): string {
  const body = `632323${birth}${String(serial).padStart(3, '0')}`;
  const sum = [...body].reduce((total, digit, at) => total + Number(digit) * (WEIGHTS[at] ?? 0), 0);
  return body + (CHECK[sum % 11] ?? 'X');
}

const of = <T>(list: readonly T[], number: number): T => list[number % list.length] as T;

/** Person `number`. */
export function person(number: number): Person {
  const year = 1955 + ((number * 7) % 45);
  const month = String(1 + ((number * 5) % 12)).padStart(2, '0');
  const day = String(1 + ((number * 11) % 28)).padStart(2, '0');
  // What is above comes again after 13,860, with serials that are 90 apart on each day: the next round falls between them.
  const serial = 1 + ((number * 13 + Math.floor(number / 13_860)) % 990);
  return {
    // Dates and names together come again after 10,080.
    name: of(SURNAMES, number) + of(GIVEN, Math.floor(number / SURNAMES.length) + number + Math.floor(number / 10_080)),
    idNo: idNumber(`${year}${month}${day}`, serial),
    birthDate: `${year}-${month}-${day}`,
    sex: serial % 2 === 1 ? '1' : '2',
  };
}

/** A place in 泽库县. */
function position(number: number): string {
  return `${(35.02 + (number % 17) * 0.021).toFixed(5)} ${(101.3 + (number % 23) * 0.026).toFixed(5)} 0 0`;
}

/** A complete household file. With `broken`, its number of persons does not fit the members. */
export function household(number: number, broken = false) {
  const head = person(number);
  // Twelve months with 490 boys each, then the year before.
  const year = 2014 - Math.floor(number / 5_880);
  const child = { name: '扎西', birth: `${year}${String(1 + (number % 12)).padStart(2, '0')}08`, serial: 1 + 2 * (Math.floor(number / 12) % 490) };
  return {
    basic: {
      event_date: '2026-09-14', ...(number % 3 ? { geo_point: position(number) } : {}),
      division_code: '632323', address: `${of(ROADS, number)}${1 + (number % 5)}社${10 + (number % 90)}号`,
    },
    head: {
      name: head.name, id_type: 'id_card', id_no: head.idNo, sex: head.sex, birth_date: head.birthDate,
      ethnicity: number % 3 ? '04' : '01', phone: `1399${String(7_600_000 + number * 131).slice(0, 7)}`,
    },
    head_status: { marital: '20', education: '70', hukou_type: 'rural', hukou_prefecture: '632300', hukou_division: '632323' },
    head_work: {
      health: 'good', insurances: ['resident_medical', 'resident_pension'], work_status: 'flexible',
      employer: '泽库县城零工', worker_group: ['migrant'], monthly_income: 180_000 + (number % 40) * 1_000,
    },
    members: [{
      name: child.name, relation: '2', id_type: 'id_card', id_no: idNumber(child.birth, child.serial), sex: '1',
      birth_date: `${year}-${child.birth.slice(4, 6)}-08`,
      ethnicity: '04', guardian_consent: 'paper', education: '80', hukou_type: 'rural', health: 'good', insurances: ['resident_medical'],
      work_status: 'student', school: '泽曲镇寄宿制小学', entry_year: 2021, years: 6,
    }],
    rigid_expenses: [{ category: 'school', amount: 320_000, proof: 'invoice' }],
    economy: { household_size: broken ? 5 : 2, annual_income: 2_160_000 + (number % 30) * 12_000, other_income: 0, dibao_status: 'no' },
    assets: { housing_type: 'self_built', area: 60 + (number % 50), homes: 1, vehicle: 'no', business: 'no', study_abroad: 'no' },
    hardship: {
      proposed_category: number % 4 ? 'relative' : 'deep', cause_main: of(CAUSES, number), needs: ['schooling', 'living'],
      self_help: 'yes', zero_employed: 'no', single_parent: 'no',
    },
  };
}

/** A visit to the household `id` of person `number`. */
export function visit(id: string, number: number) {
  const day = String(1 + (number % 28)).padStart(2, '0');
  return {
    about: { household: id, head_name: person(number).name, event_date: `2026-10-${day}` },
    visitors: [{ visitor: '多杰', visitor_org: 'township' }, { visitor: '马秀英', visitor_org: 'township' }],
    when: { type: 'verify', visited_at: `2026-10-${day}T10:30:00.000+08:00` },
    situation: {
      changes: ['none'], requests: ['schooling'],
      narrative: '入户核实了户口簿、收入和住房情况，孩子今年继续上学，家里希望申请助学金。',
    },
  };
}
