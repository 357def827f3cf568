//! A model of claim, commit, unknown commit, crash, resume and undo, explored to its last moment.
//!
//! The database is what is committed, the locks, and the transactions that are ready to be. What is legal, what a
//! stream folds into, and what a partition's row means, is asked of the worker's own core and projection; the steps
//! between are written down here after `engine/` and `undo.rs`, a statement or a few at a time: as many as nobody else
//! can see. Faults strike between any two of them.
//!
//! | module | holds |
//! |---|---|
//! | [`stream`] | the journal, and the bridge to the real events and states |
//! | [`database`] | what is committed |
//! | [`worker`], [`undoer`] | their steps |
//! | [`system`] | all together, and the faults |
//! | [`promises`] | the properties |
//! | [`mutant`] | what is done wrong on purpose |
//! | [`explore`] | the model as it is, and each mutant |
//! | [`progress`] | from every moment the end can be reached |

mod database;
mod explore;
mod mutant;
mod progress;
mod promises;
mod stream;
mod system;
mod undoer;
mod worker;
