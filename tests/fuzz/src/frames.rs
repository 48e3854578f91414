//! Frames of either direction: `FrameReader`.
//!
//! Input: flags, then pieces; each piece is a frame's content before compression.

use fieldbook_core::protocol::{Down, Up};
use fieldbook_core::sync::frames::{FrameReader, FrameWriter, Message};
use fieldbook_core::sync::to_cbor;
use sha2::{Digest, Sha256};
use zstd::stream::raw::{CParameter, Encoder, Operation, OutBuffer};

use crate::bytes::{join, mutate_behind_flags, mutate_cbor, mutate_pieces, pieces};
use crate::hostile::{Dice, scramble, uleb};
use crate::{Limits, Meter, Target, answer, request};

/// The target. Memory: an inflated frame, the largest message in parts, what a message's short forms grow to, and the forms
/// that a frame's packed ones open to. Time and output: as many of them as an exchange may bring, 64 MiB.
pub const TARGET: Target = Target {
    name: "frames",
    limits: Limits { input_bytes: 64 * 1024, time_ms: 250, memory_bytes: 32 << 20, output_bytes: 72 << 20 },
    run,
    mutate,
    seeds,
};

/// Flags: frames that a server sends, the bytes as they are, and how they are cut (the upper half).
const DOWN: u8 = 1;
const AS_IT_IS: u8 = 2;

fn run(input: &[u8], meter: &mut Meter) {
    let Some((flags, rest)) = input.split_first() else { return };
    let stream = if flags & AS_IT_IS == 0 { compressed(&pieces(rest)) } else { rest.to_vec() };
    let size = [1, 13, 997, 65_536][usize::from(flags >> 6)];
    if flags & DOWN == 0 {
        read::<Up>(&stream, size, meter);
    } else {
        read::<Down>(&stream, size, meter);
    }
}

fn read<M: Message + PartialEq + std::fmt::Debug>(stream: &[u8], size: usize, meter: &mut Meter) {
    let mut reader = FrameReader::<M>::new();
    for piece in stream.chunks(size) {
        meter.measure(|| reader.push(piece));
        loop {
            // One frame at a time, as whoever receives applies them.
            match meter.measure(|| reader.next_frame()) {
                Ok(Some(messages)) => look(&messages, meter),
                Ok(None) => break,
                Err(_) => {
                    assert!(reader.next_frame().is_err(), "a broken stream goes on");
                    return;
                }
            }
        }
    }
}

fn look<M: Message + PartialEq + std::fmt::Debug>(messages: &[M], meter: &mut Meter) {
    for message in messages {
        assert!(message.as_part().is_none(), "a part was handed out");
        assert!(message.as_packed_form().is_none(), "a packed form was handed out");
        let cbor = to_cbor(message);
        meter.output(cbor.len());
        let again = fieldbook_core::sync::from_cbor::<M>(&cbor);
        assert_eq!(again.as_ref(), Some(message), "a message is read differently from how it is written");
    }
}

/// Bytes of a frame's running check.
const CHECK_BYTES: usize = 4;

/// One zstd stream, flushed at each piece, as frames with their running checks.
pub fn compressed(pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let Ok(mut encoder) = Encoder::new(1) else { return out };
    let _ = encoder.set_parameter(CParameter::WindowLog(17));
    let mut sum = Sha256::new();
    for piece in pieces {
        sum.update(piece);
        let mut block = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut read = 0;
        while read < piece.len() {
            let Ok(status) = encoder.run_on_buffers(&piece[read..], &mut buffer) else { return out };
            read += status.bytes_read;
            block.extend_from_slice(&buffer[..status.bytes_written]);
        }
        loop {
            let mut space = OutBuffer::around(&mut buffer[..]);
            let Ok(left) = encoder.flush(&mut space) else { return out };
            block.extend_from_slice(space.as_slice());
            if left == 0 {
                break;
            }
        }
        uleb((CHECK_BYTES + block.len()) as u64, &mut out);
        out.extend_from_slice(&sum.clone().finalize()[..CHECK_BYTES]);
        out.extend_from_slice(&block);
    }
    out
}

fn mutate(input: &mut Vec<u8>, dice: &mut Dice) {
    let as_it_is = input.first().is_some_and(|flags| flags & AS_IT_IS != 0);
    mutate_behind_flags(input, dice, |rest, dice| {
        if as_it_is {
            let mut out = rest.to_vec();
            scramble(&mut out, dice);
            return out;
        }
        mutate_pieces(rest, dice, mutate_cbor)
    });
}

fn seeds() -> Vec<Vec<u8>> {
    let up: Vec<Vec<u8>> = request::honest_messages().iter().map(to_cbor).collect();
    let down: Vec<Vec<u8>> = answer::honest_messages().iter().map(to_cbor).collect();
    let packed: Vec<Vec<u8>> = answer::packed_forms().iter().map(to_cbor).collect();
    let mut seeds = Vec::new();
    for (flags, messages) in [(0xc0, &up), (0x80 | DOWN, &down), (0xc0 | DOWN, &packed)] {
        seeds.push([vec![flags], join(messages)].concat());
        seeds.push([vec![flags], join(&[messages.concat()])].concat());
        let list: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        seeds.push([vec![flags | AS_IT_IS], compressed(&list)].concat());
    }
    // A message in parts, and a frame that inflates to more than any frame may.
    let mut writer = FrameWriter::new(17);
    let long = answer::long_message();
    if writer.push(&long).and_then(|()| writer.flush()).is_ok() {
        let mut stream = vec![0x80 | DOWN | AS_IT_IS];
        while let Some(frame) = writer.take() {
            stream.extend_from_slice(&frame);
        }
        seeds.push(stream);
    }
    let zeros = vec![0; 4 << 20];
    seeds.push([vec![0xc0 | AS_IT_IS], compressed(&[&zeros])].concat());
    seeds
}
