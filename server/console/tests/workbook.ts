/** XLSForms as CSV sheets in a zip, made from the forms that come with the server. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { crc32 } from 'node:zlib';

const FORMS = resolve(process.env.FIELDBOOK_ROOT ?? resolve(process.cwd(), '../..'), 'core/forms');

interface Stored {
  name: Buffer;
  bytes: Buffer;
  at: number;
}

/** The fields that a file's own header and the directory share. */
function header(signature: number, { name, bytes }: Stored): Buffer {
  const local = signature === 0x04034b50;
  const made = Buffer.alloc(local ? 30 : 46);
  const at = local ? 0 : 2;
  made.writeUInt32LE(signature, 0);
  made.writeUInt16LE(20, 4);
  made.writeUInt16LE(0x800, at + 6);
  made.writeUInt32LE(crc32(bytes), at + 14);
  made.writeUInt32LE(bytes.length, at + 18);
  made.writeUInt32LE(bytes.length, at + 22);
  made.writeUInt16LE(name.length, at + 26);
  return made;
}

/** A zip of files, none of them compressed. */
export function zipped(files: Record<string, string>): Buffer {
  const parts: Buffer[] = [];
  const all: Stored[] = [];
  let at = 0;
  for (const [path, text] of Object.entries(files)) {
    const stored = { name: Buffer.from(path), bytes: Buffer.from(text), at };
    const own = [header(0x04034b50, stored), stored.name, stored.bytes];
    parts.push(...own);
    at += own.reduce((total, part) => total + part.length, 0);
    all.push(stored);
  }
  const directory = Buffer.concat(all.flatMap((stored) => {
    const entry = header(0x02014b50, stored);
    entry.writeUInt16LE(20, 4);
    entry.writeUInt32LE(stored.at, 42);
    return [entry, stored.name];
  }));
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(all.length, 8);
  end.writeUInt16LE(all.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, directory, end]);
}

/** A form that comes with the server as version `version`, with its survey sheet changed. */
export function workbook(kind: string, version: string, change: (survey: string) => string): Buffer {
  const sheet = (name: string) => readFileSync(resolve(FORMS, kind, `${name}.csv`), 'utf8');
  const settings = sheet('settings').replace(`,${kind},1,`, `,${kind},${version},`);
  return zipped({ 'survey.csv': change(sheet('survey')), 'choices.csv': sheet('choices'), 'settings.csv': settings });
}
