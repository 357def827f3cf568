//! The driver's book: how far everything is, and so what may come next.

use std::collections::BTreeMap;

use worker::core::event::Setting;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Completed,
    Undoing,
    RolledBack,
}

/// Whether somebody wants the work to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Going,
    Paused,
    Cancelled,
}

#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) depends_on: Option<usize>,
    pub(super) pass: i32,
    /// The instant of its last pass.
    pub(super) instant: i64,
    pub(super) is_followed: bool,
    pub(super) is_caught_up: bool,
    pub(super) is_stopped: bool,
    pub(super) is_complete: bool,
    pub(super) is_marked: bool,
    pub(super) is_undone: bool,
    /// Indexes that it owes, and how many of them are built.
    pub(super) owed: usize,
    pub(super) built: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) unit: usize,
    pub(super) stream: String,
    pub(super) pass: i32,
    pub(super) end: i64,
    pub(super) at: i64,
    pub(super) is_done: bool,
    pub(super) seq: i64,
    /// Seq and rows of each batch that is not undone and wrote any.
    pub(super) batches: Vec<(i64, i64)>,
}

/// How far a run is.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) phase: Phase,
    pub(super) units: Vec<Unit>,
    pub(super) partitions: Vec<Partition>,
    pub(super) undoing: Vec<usize>,
    pub(super) database: String,
    pub(super) max_bad: f64,
    pub(super) as_of: i64,
    /// Rollbacks that have begun.
    pub(super) undos: usize,
    /// What is wished of the run, or of its last rollback.
    pub(super) wish: Wish,
    pub(super) set: BTreeMap<Setting, String>,
}

/// What may come next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    Plan(usize),
    Batch(usize),
    Stop(usize),
    Reopen(usize),
    Index(usize),
    Complete(usize),
    CompleteRun,
    Adopt,
    Budget,
    Follow,
    Advance,
    CatchUp(usize),
    EndFollow,
    Worker,
    Steer,
    Undo,
    UndoBatch(usize),
    EndUndo,
}

impl Book {
    /// All that may come next; never nothing.
    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = vec![Move::Worker, Move::Adopt];
        match self.phase {
            Phase::Running => {
                moves.extend([Move::Budget, Move::Steer, Move::Undo]);
                match self.is_followed() {
                    true => moves.extend([Move::Advance, Move::EndFollow]),
                    false if self.units.iter().any(|unit| unit.is_complete) => {}
                    false => moves.push(Move::Follow),
                }
                for place in 0..self.units.len() {
                    moves.extend(self.unit_moves(place));
                }
                if self.units.iter().all(|unit| unit.is_complete) {
                    moves.extend([Move::CompleteRun; 4]);
                }
            }
            Phase::Completed => moves.push(Move::Undo),
            Phase::RolledBack if self.due().next().is_some() => moves.push(Move::Undo),
            Phase::RolledBack => {}
            Phase::Undoing => {
                moves.push(Move::Steer);
                let left = |place: &usize| {
                    let partition = &self.partitions[*place];
                    self.undoing.contains(&partition.unit) && !partition.batches.is_empty()
                };
                let left: Vec<_> = (0..self.partitions.len()).filter(left).collect();
                match left.is_empty() {
                    true => moves.push(Move::EndUndo),
                    false => moves.extend(left.into_iter().map(Move::UndoBatch)),
                }
            }
        }
        moves
    }

    fn is_followed(&self) -> bool {
        self.units.iter().any(|unit| unit.is_followed)
    }

    fn unit_moves(&self, place: usize) -> Vec<Move> {
        let unit = &self.units[place];
        let is_ready = unit.depends_on.is_none_or(|on| {
            let on = &self.units[on];
            on.is_complete || (on.is_caught_up && self.is_followed())
        });
        if unit.is_complete || (!is_ready && unit.pass == 0) {
            return Vec::new();
        }
        if unit.is_stopped {
            return vec![Move::Reopen(place)];
        }
        let of_pass =
            |partition: &&Partition| partition.unit == place && partition.pass == unit.pass;
        let mut moves = Vec::new();
        if self
            .partitions
            .iter()
            .filter(of_pass)
            .all(|partition| partition.is_done)
        {
            // Units are mostly under way together, and passes are few.
            let often = match unit.pass {
                _ if !is_ready => 0,
                0 => 6,
                _ => 1,
            };
            moves.extend(vec![Move::Plan(place); often]);
            if unit.pass > 0
                && unit.built == unit.owed
                && is_ready
                && unit.instant == self.as_of
                && !self.is_followed()
            {
                moves.extend([Move::Complete(place); 2]);
            }
        }
        if unit.pass > 0 {
            moves.push(Move::Stop(place));
            moves.extend(vec![Move::Index(place); unit.owed - unit.built]);
        }
        if unit.pass > 1 && unit.is_followed && !unit.is_caught_up {
            moves.extend([Move::CatchUp(place); 3]);
        }
        for (at, partition) in self.partitions.iter().enumerate() {
            if partition.unit == place && !partition.is_done {
                moves.extend([Move::Batch(at); 4]);
            }
        }
        moves
    }

    /// Units that an undo may take.
    pub(super) fn due(&self) -> impl Iterator<Item = usize> {
        let due = |(_, unit): &(usize, &Unit)| unit.pass > 0 && !unit.is_undone;
        self.units
            .iter()
            .enumerate()
            .filter(due)
            .map(|(place, _)| place)
    }
}
