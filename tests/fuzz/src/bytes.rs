//! Inputs of several pieces: a 16-bit length before each.

use crate::cbor;
use crate::hostile::{Dice, scramble};

/// Pieces that are read from one input.
const PIECES_MAX: usize = 400;

/// The pieces of an input; the last may be shorter than it says.
pub fn pieces(mut input: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((head, rest)) = input.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*head)).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        found.push(piece);
        input = rest;
        if found.len() == PIECES_MAX {
            break;
        }
    }
    found
}

/// An input of these pieces; a piece above 64 KB is cut.
pub fn join(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        let piece = &piece[..piece.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        out.extend_from_slice(piece);
    }
    out
}

/// Changes one piece with `change`, or the list of pieces.
pub fn mutate_pieces(input: &[u8], dice: &mut Dice, change: fn(&mut Vec<u8>, &mut Dice)) -> Vec<u8> {
    let mut list: Vec<Vec<u8>> = pieces(input).into_iter().map(<[u8]>::to_vec).collect();
    if list.is_empty() {
        list.push(Vec::new());
    }
    let at = dice.below(list.len());
    match dice.below(12) {
        0 => {
            list.remove(at);
        }
        1 => {
            let copy = list[at].clone();
            list.insert(dice.below(list.len() + 1), copy);
        }
        2 => {
            let other = dice.below(list.len());
            list.swap(at, other);
        }
        3 => list.insert(at, Vec::new()),
        _ => change(&mut list[at], dice),
    }
    join(&list)
}

/// Changes a first byte of flags, or the rest with `change`.
pub fn mutate_behind_flags(input: &mut Vec<u8>, dice: &mut Dice, change: impl Fn(&[u8], &mut Dice) -> Vec<u8>) {
    if input.is_empty() {
        input.push(0);
    }
    if dice.below(16) == 0 {
        input[0] = dice.roll() as u8;
    } else {
        let rest = change(&input[1..], dice);
        input.truncate(1);
        input.extend_from_slice(&rest);
    }
}

/// CBOR within its structure, or as plain bytes now and then.
pub fn mutate_cbor(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if dice.below(10) == 0 || !cbor::mutate(bytes, dice) {
        scramble(bytes, dice);
    }
}
