//! The order in which rules run: each after what it reads.

use std::collections::HashMap;

use super::expr::{Code, Compiled};
use super::schema::{Schema, SchemaId, ScopeId};

/// One rule of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// Whether a place is asked.
    Relevant(SchemaId),
    /// The value of a place.
    Calculate(SchemaId),
    /// The number of rows of a repeat.
    Count(ScopeId),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// Orders `rules`; also names the places whose calculations need each other.
pub(crate) fn order(schema: &Schema, rules: Vec<(Rule, Compiled)>) -> (Vec<(Rule, Code)>, Vec<SchemaId>) {
    let index: HashMap<Rule, usize> = rules.iter().enumerate().map(|(at, (rule, _))| (*rule, at)).collect();
    let needs: Vec<Vec<usize>> = rules.iter().map(|(_, compiled)| needed(schema, &index, &compiled.reads)).collect();
    let mut state = vec![State::New; rules.len()];
    let (mut sorted, mut circular) = (Vec::with_capacity(rules.len()), Vec::new());
    for start in 0..rules.len() {
        let mut stack = vec![(start, 0)];
        while let Some((at, next)) = stack.pop() {
            if next == 0 {
                if state[at] != State::New {
                    continue;
                }
                state[at] = State::Open;
            }
            match needs[at].get(next) {
                None => {
                    state[at] = State::Done;
                    sorted.push(at);
                }
                Some(needed) => {
                    stack.push((at, next + 1));
                    match state[*needed] {
                        State::New => stack.push((*needed, 0)),
                        // Reading the own place (a running total over earlier rows, `.`) is no circle.
                        State::Open if *needed != at => {
                            if let (Rule::Calculate(place), Rule::Calculate(_)) = (rules[at].0, rules[*needed].0) {
                                circular.push(place);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    let mut slots: Vec<Option<(Rule, Code)>> =
        rules.into_iter().map(|(rule, compiled)| Some((rule, compiled.code))).collect();
    (sorted.into_iter().filter_map(|at| slots[at].take()).collect(), circular)
}

/// The rules that decide what is read at `reads`.
fn needed(schema: &Schema, index: &HashMap<Rule, usize>, reads: &[SchemaId]) -> Vec<usize> {
    let mut needed = Vec::new();
    for read in reads {
        needed.extend(index.get(&Rule::Calculate(*read)));
        for scope in &schema.scope(schema.node(*read).scope).chain {
            needed.extend(index.get(&Rule::Count(*scope)));
        }
        let mut at = Some(*read);
        while let Some(place) = at {
            needed.extend(index.get(&Rule::Relevant(place)));
            at = schema.node(place).parent;
        }
    }
    needed.sort_unstable();
    needed.dedup();
    needed
}
