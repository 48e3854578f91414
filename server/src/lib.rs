//! The Fieldbook server as a library; `main` is thin, tests drive the real router.
