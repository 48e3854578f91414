//! A gate before the library that reads `.xls`: it follows chains of sectors in circles and makes room for as many cells
//! as a file claims, until all memory is gone. Only a file whose chains end and whose cells are few gets past.
//!
//! The container: MS-CFB; the records in it: MS-XLS.

/// Cells of all sheets together, from the first to the farthest in each.
const CELLS_MAX: u64 = 2_000_000;
/// Sectors of the table of small streams: a workbook holds its cells outside of these.
const SMALL_SECTORS_MAX: u32 = 64;
/// Sector numbers from here on have other meanings.
const SPECIAL: u32 = 0xffff_fffa;
const END_OF_CHAIN: u32 = 0xffff_fffe;
const SMALL_SECTOR_BYTES: usize = 64;
/// Streams below this size lie in small sectors.
const SMALL_STREAM_BYTES: usize = 4_096;
const DIRECTORY_ENTRY_BYTES: usize = 128;

/// Why a file is kept from the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no sound container, or holds macros.
    Damaged,
    /// Its cells reach too far.
    TooLarge,
}

/// Checks a whole file; at most `sheets_max` sheets.
pub(super) fn check(bytes: &[u8], sheets_max: usize) -> Result<(), Refused> {
    let stream = workbook(bytes).ok_or(Refused::Damaged)?;
    let sheets: Vec<u32> =
        Records(&stream).filter(|(kind, _)| *kind == BOUND_SHEET).filter_map(|(_, data)| word(data, 0)).collect();
    if sheets.len() > sheets_max {
        return Err(Refused::TooLarge);
    }
    let mut cells = 0;
    for at in sheets {
        let records = stream.get(at as usize..).ok_or(Refused::Damaged)?;
        cells += area(Records(records));
    }
    if cells > CELLS_MAX { Err(Refused::TooLarge) } else { Ok(()) }
}

/// The file with every sheet's claim of its size made small: the library only makes room by it, and spreadsheet programs
/// claim whole columns for a form of forty rows. `None` where a claim cannot be found in one piece.
pub(super) fn without_claims(bytes: &[u8]) -> Option<Vec<u8>> {
    let stream = workbook(bytes)?;
    let mut out = bytes.to_vec();
    for at in Records(&stream).filter(|(kind, _)| *kind == BOUND_SHEET).filter_map(|(_, data)| word(data, 0)) {
        for (_, data) in Records(stream.get(at as usize..)?).filter(|(kind, _)| *kind == DIMENSIONS) {
            let (last_row, last_column) = if data.len() == 14 { (4, 10) } else { (2, 6) };
            let record = [&[0x00, 0x02, data.len() as u8, 0x00], data].concat();
            let found = out.windows(record.len()).position(|window| window == record)? + 4;
            let claim = out.get_mut(found..found + data.len())?;
            claim.fill(0);
            *claim.get_mut(last_row)? = 1;
            *claim.get_mut(last_column)? = 1;
        }
    }
    Some(out)
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 2).map(|half| u32::from(u16::from_le_bytes([half[0], half[1]])))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(half(bytes, at)? | half(bytes, at + 2)? << 16)
}

/// The sectors of a container, and which follows which.
struct Container<'a> {
    sectors: &'a [u8],
    size: usize,
    next: Vec<u32>,
}

impl<'a> Container<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let size = match half(bytes, 30)? {
            9 => 512,
            12 => 4_096,
            _ => return None,
        };
        let mut container = Self { sectors: bytes.get(size..)?, size, next: Vec::new() };
        let most = container.sectors.len().div_ceil(size);
        let (tables, small) = (word(bytes, 44)?, word(bytes, 64)?);
        // The library makes room for as many numbers as the four bytes at 62 say, whatever they mean.
        if tables as usize > most || small > SMALL_SECTORS_MAX || word(bytes, 62)? > SMALL_SECTORS_MAX << 16 {
            return None;
        }
        let mut tables: Vec<u32> = bytes.get(76..512)?.chunks_exact(4).filter_map(|four| word(four, 0)).collect();
        let mut at = word(bytes, 68)?;
        for _ in 0..=most {
            if at >= SPECIAL {
                break;
            }
            tables.extend(container.sector(at)?.chunks_exact(4).filter_map(|four| word(four, 0)));
            at = tables.pop()?;
        }
        let tables: Vec<u32> = tables.into_iter().filter(|table| *table < SPECIAL).collect();
        if at < SPECIAL || tables.len() > most {
            return None;
        }
        for table in tables {
            let numbers = container.sector(table)?.chunks_exact(4).filter_map(|four| word(four, 0));
            container.next.extend(numbers.collect::<Vec<u32>>());
        }
        Some(container)
    }

    fn sector(&self, number: u32) -> Option<&'a [u8]> {
        let start = (number as usize).checked_mul(self.size)?;
        let rest = self.sectors.get(start..)?;
        Some(&rest[..rest.len().min(self.size)])
    }

    /// A whole chain of sectors; `None` if it leads nowhere or round in a circle.
    fn chain(&self, start: u32) -> Option<Vec<u8>> {
        follow(start, &self.next, |number| self.sector(number), self.sectors.len())
    }
}

/// Puts a chain's sectors together, up to as many bytes as there can be.
fn follow<'s>(start: u32, next: &[u32], sector: impl Fn(u32) -> Option<&'s [u8]>, most: usize) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    let mut at = start;
    while at != END_OF_CHAIN {
        let bytes = sector(at)?;
        if bytes.is_empty() || found.len() + bytes.len() > most {
            return None;
        }
        found.extend_from_slice(bytes);
        at = *next.get(at as usize)?;
    }
    Some(found)
}

/// The stream with the workbook's records, if every chain that leads there ends.
fn workbook(bytes: &[u8]) -> Option<Vec<u8>> {
    let container = Container::open(bytes)?;
    let directory = container.chain(word(bytes, 48)?)?;
    let entries: Vec<(String, u32, usize)> = directory
        .chunks_exact(DIRECTORY_ENTRY_BYTES)
        .map(|entry| Some((name(entry), word(entry, 116)?, word(entry, 120)? as usize)))
        .collect::<Option<_>>()?;
    // Macros: forms have none, and unpacking them is a risk of its own.
    if entries.iter().any(|(name, ..)| name == "_VBA_PROJECT_CUR") {
        return None;
    }
    let (mut small, mut next) = (Vec::new(), Vec::new());
    if word(bytes, 64)? > 0 {
        small = container.chain(entries.first()?.1)?;
        next = container.chain(word(bytes, 60)?)?.chunks_exact(4).filter_map(|four| word(four, 0)).collect();
    }
    let names = ["Workbook", "Book", "WORKBOOK", "BOOK"];
    let wanted = names.iter().find_map(|wanted| entries.iter().find(|(name, ..)| name == wanted))?;
    let (_, start, length) = wanted;
    let mut stream = if *length < SMALL_STREAM_BYTES {
        let sector = |number: u32| small.chunks(SMALL_SECTOR_BYTES).nth(number as usize);
        follow(*start, &next, sector, small.len())?
    } else {
        container.chain(*start)?
    };
    stream.truncate(*length);
    Some(stream)
}

/// UTF-16, up to the first zero.
fn name(entry: &[u8]) -> String {
    let units: Vec<u16> = entry[..64]
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}

const BOUND_SHEET: u32 = 0x0085;
const END_OF_SHEET: u32 = 0x000a;
const DIMENSIONS: u32 = 0x0200;
const MANY_NUMBERS: u32 = 0x00bd;
/// Records of one cell: row and column first.
const CELL: [u32; 8] = [0x0006, 0x0203, 0x0204, 0x0205, 0x0207, 0x027e, 0x00d6, 0x00fd];

/// Kind and content of record after record, up to the end of a sheet or of the globals.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, length) = (half(self.0, 0)?, half(self.0, 2)? as usize);
        let data = self.0.get(4..4 + length)?;
        self.0 = if kind == END_OF_SHEET { &[] } else { &self.0[4 + length..] };
        Some((kind, data))
    }
}

/// Cells of a sheet from the first row and column to the farthest, and what it claims to hold.
fn area(records: Records<'_>) -> u64 {
    let (mut rows, mut columns, mut claimed) = (0, 0, 0);
    for (kind, data) in records {
        let place = match kind {
            MANY_NUMBERS => half(data, 0).zip(half(data, data.len().saturating_sub(2))),
            kind if CELL.contains(&kind) => half(data, 0).zip(half(data, 2)),
            _ => None,
        };
        if let Some((row, column)) = place {
            rows = rows.max(u64::from(row) + 1);
            columns = columns.max(u64::from(column) + 1);
        }
        // First and last row: a claim that ends before it begins is as bad as one without end.
        let claim = match (kind, data.len()) {
            (DIMENSIONS, 10) => half(data, 0).zip(half(data, 2)).zip(half(data, 6)),
            (DIMENSIONS, 14) => word(data, 0).zip(word(data, 4)).zip(half(data, 10)),
            _ => None,
        };
        if let Some(((first, last), columns)) = claim {
            let rows = if first > last { u64::from(u32::MAX) } else { u64::from(last) };
            claimed += rows.max(1) * u64::from(columns.max(1));
        }
    }
    claimed.max(rows * columns)
}
