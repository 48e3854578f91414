//! A form run as a phone runs it, from nothing, over the steps so far.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldbook_core::forms::{
    EvalTime, FieldPath, Form, FormSession, ProblemKind, Question, QuestionKind, ValueError, Values,
};
use fieldbook_core::ids::{RecordId, RowId, UserId};
use serde_json::Value as Json;

use super::kept;
use super::pages::{RefusedStep, RunChoice, RunPage, RunQuestion};
use crate::store::{Problem, Store, StoreError, listing};

/// Steps of one run.
const STEPS_MAX: usize = 300;
/// How long the steps of one run may take together.
const RUN_TIME_MAX: Duration = Duration::from_secs(5);
/// Answers in all rows that one run may show.
const ANSWERS_MAX: usize = 50_000;

/// Which form is tried out.
#[derive(Debug, Clone)]
pub enum Tried {
    /// An uploaded one, by its digest in hex.
    Preview(String),
    /// A published one, by kind and version.
    Published(String, String),
}

/// One step of filling in a form.
#[derive(Debug, Clone)]
pub enum RunStep {
    /// A question is answered.
    Set {
        /// Its path.
        path: String,
        /// The answer.
        value: Json,
    },
    /// A row is added.
    Add {
        /// Path of the repeat.
        repeat: String,
        /// The enclosing row of a nested repeat.
        parent: Option<String>,
    },
    /// A row is removed.
    Remove {
        /// Path of the repeat.
        repeat: String,
        /// The row.
        row: String,
    },
}

impl RunStep {
    fn path(&self) -> &str {
        match self {
            Self::Set { path, .. } => path,
            Self::Add { repeat, .. } | Self::Remove { repeat, .. } => repeat,
        }
    }
}

fn too_long(detail: impl std::fmt::Display) -> Problem {
    Problem::new("run_too_long").with("detail", detail)
}

/// The row that a step adds: the same in each run of the same steps.
fn row_of(step: usize) -> RowId {
    RowId((step as u64 + 1).to_be_bytes())
}

/// Takes a step; what it says is why the form did not take it.
fn take(session: &mut FormSession, at: usize, step: &RunStep, language: &str) -> Result<(), String> {
    let told = |error: ValueError| error.text(language);
    let row = |text: &str| text.parse::<RowId>().map_err(|_| text.to_owned());
    match step {
        RunStep::Set { path, value } => {
            let path: FieldPath = path.parse().map_err(|_| path.clone())?;
            session.set(&path, value).map_err(told)?;
        }
        RunStep::Add { repeat, parent } => {
            let parent = parent.as_deref().map(row).transpose()?;
            session.add_row(repeat, parent, row_of(at)).map_err(told)?;
        }
        RunStep::Remove { repeat, row: id } => {
            session.remove_row(repeat, row(id)?).map_err(told)?;
        }
    }
    Ok(())
}

/// Questions that the rows so far would show at most.
fn answers(session: &FormSession) -> usize {
    let fields = &session.form().definition().fields;
    let of = |repeat: &String| fields.iter().filter(|field| field.repeat.as_ref() == Some(repeat)).count();
    session.values().rows.iter().map(|(repeat, rows)| rows.len() * of(repeat)).sum()
}

fn question(question: Question) -> RunQuestion {
    let (error_kind, error) = match question.error {
        None => (None, None),
        Some((kind, message)) => {
            let word = match kind {
                ProblemKind::Required => "required",
                ProblemKind::Constraint => "constraint",
                ProblemKind::Check => "check",
                ProblemKind::Logic => "logic",
            };
            (Some(word.to_owned()), Some(message))
        }
    };
    let kind = match question.kind {
        QuestionKind::Field => "field",
        QuestionKind::Group => "group",
        QuestionKind::Repeat => "repeat",
        QuestionKind::Row => "row",
    };
    let choice = |choice: fieldbook_core::forms::OfferedChoice| RunChoice { name: choice.name, label: choice.label };
    RunQuestion {
        kind: kind.to_owned(),
        path: question.path,
        row: question.row.map(|row| row.to_string()),
        depth: question.depth as u64,
        page: question.page as u64,
        label: question.label,
        hint: question.hint,
        guidance: question.guidance,
        field_type: question.field_type.map(|of| of.word().to_owned()),
        appearance: question.appearance,
        parameters: question.parameters,
        choices: question.choices.into_iter().map(choice).collect(),
        required: question.required,
        read_only: question.read_only,
        value: question.value,
        error_kind,
        error,
        rows: question.rows as u64,
        counted: question.counted,
        unit: question.unit,
    }
}

impl Store {
    fn tried(&self, user: UserId, tried: &Tried) -> Result<Arc<Form>, StoreError> {
        match tried {
            Tried::Preview(digest) => {
                let kept = self.read(|tx| kept(tx, user, digest, self.now_ms()))?;
                self.parsed(&kept)
            }
            Tried::Published(kind, version) => self.read(|tx| {
                listing::visible_form(self, tx, user, kind)?;
                let missing = || Problem::new("kind_unknown").with("kind", format!("{kind} {version}"));
                Ok(self.form(tx, kind, version)?.ok_or_else(missing)?)
            }),
        }
    }

    /// Runs a form over steps, with the engine of the phones; nothing is stored.
    ///
    /// # Errors
    /// `preview_unknown`, `kind_unknown`, `run_too_long`, `busy`; else what the database said.
    pub fn run_form(
        &self,
        user: UserId,
        tried: &Tried,
        language: Option<&str>,
        steps: &[RunStep],
    ) -> Result<RunPage, StoreError> {
        if steps.len() > STEPS_MAX {
            return Err(too_long(steps.len()).into());
        }
        let form = self.tried(user, tried)?;
        let _place = self.previews.place()?;
        let languages = form.definition().languages.clone();
        let language = language.filter(|wanted| languages.iter().any(|known| known == wanted));
        let language = language.unwrap_or_else(|| form.default_language()).to_owned();
        // As of now, of a record that is nobody's.
        let time = EvalTime::new(self.now_ms().div_euclid(1000), &RecordId([0; 16]));
        let begun = Instant::now();
        let mut session = FormSession::new(Arc::clone(&form), Values::default(), time, &language);
        let mut refused = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            if let Err(message) = take(&mut session, at, step, &language) {
                refused.push(RefusedStep { step: at as u64, path: step.path().to_owned(), message });
            }
            if begun.elapsed() > RUN_TIME_MAX || answers(&session) > ANSWERS_MAX {
                return Err(too_long(at + 1).into());
            }
        }
        let values = form.values_to_json(&session.evaluation().shown);
        let questions = session.questions().into_iter().map(question).collect();
        Ok(RunPage { language, languages, questions, values, refused })
    }
}
