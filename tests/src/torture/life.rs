//! The life of one program under faults: started, struck, started again by the same command, until the job is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::oneshot::Receiver;

use super::fault::Fault;
use super::locks;
use super::phase::{Ending, Phase};
use crate::process::{Outcome, Running};
use crate::proxy::{Action, Proxy, Reach, Side, Struck};
use crate::random::Random;

/// How often a program is looked at.
const GLANCE: Duration = Duration::from_millis(2);

/// No program takes so long to end once it may, unless it hangs.
const LIMIT: Duration = Duration::from_secs(600);

/// SIGTERM's number.
const SIGTERM: i32 = 15;

/// What became of a program that a fault was drawn for.
enum After {
    Alive(Running),
    Ended(Outcome),
}

/// How a moment came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// What was armed has struck.
    Struck(Struck),
    /// Time is up.
    Late,
    /// The program has ended by itself.
    Ended,
}

/// Starts the job's program over and over until one says that it is done, or, where nothing is left to strike, it is
/// killed for good.
pub(super) async fn live(
    phase: &Phase,
    proxy: Option<Arc<Proxy>>,
    ending: Ending,
    mut random: Random,
) -> Result<()> {
    loop {
        if phase.is_stopped() || phase.is_done().await {
            return Ok(());
        }
        let mut life = Life {
            phase,
            proxy: proxy.as_deref(),
            born: Instant::now(),
            messages: proxy.as_ref().map_or(0, |proxy| proxy.messages()),
        };
        let mut running = phase.spawn(life.proxy)?;
        let outcome = loop {
            let Some(fault) = phase.draw(&mut random) else {
                break life.last(running, ending).await?;
            };
            match life.strike(fault, running, &mut random).await? {
                After::Alive(survivor) => running = survivor,
                After::Ended(outcome) => break outcome,
            }
        };
        if let Some(proxy) = &proxy {
            proxy.disarm();
            proxy.slow(Duration::ZERO);
        }
        let word = phase.job.word();
        if outcome.was_killed() {
            phase.ledger.ending(format!("{word}: killed"));
            if ending == Ending::Killed && phase.left().is_nothing() {
                return Ok(());
            }
            continue;
        }
        let how = match outcome.code() {
            Some(0) => "0, done",
            Some(5) => "5, try again",
            Some(143) => "143, asked to stop",
            // Before it listens to signals, SIGTERM ends it as it ends any program.
            None if outcome.was_ended_by(SIGTERM) => "SIGTERM before it listened",
            _ => bail!("an ending that nobody may meet: {outcome}"),
        };
        phase.ledger.ending(format!("{word}: {how}"));
        if outcome.code() == Some(0) {
            return Ok(());
        }
    }
}

/// One process.
struct Life<'a> {
    phase: &'a Phase,
    proxy: Option<&'a Proxy>,
    born: Instant,
    /// What had passed through the proxy by its birth.
    messages: u64,
}

impl Life<'_> {
    /// Nothing is left to strike.
    async fn last(&mut self, mut running: Running, ending: Ending) -> Result<Outcome> {
        let began = Instant::now();
        while running.is_alive()? {
            let is_enough = ending == Ending::Killed && self.phase.left().is_nothing();
            if is_enough || self.phase.is_stopped() {
                return self.kill(running).await;
            }
            if began.elapsed() > LIMIT {
                let state = self.phase.state();
                let outcome = running.kill().await?;
                bail!("nothing disturbs it, and it does not end; it is at {state:?}: {outcome}");
            }
            tokio::time::sleep(GLANCE).await;
        }
        running.wait().await
    }

    async fn strike(
        &mut self,
        fault: Fault,
        running: Running,
        random: &mut Random,
    ) -> Result<After> {
        match fault {
            Fault::Kill => self.kill_at_a_moment(running, random).await,
            Fault::Terminate => self.terminate(running, random).await,
            Fault::Stop | Fault::StopAndCut => self.stop(fault, running, random).await,
            Fault::Slow => self.slow(running, random).await,
            Fault::Cut | Fault::Stall | Fault::HalfOpen => {
                self.by_proxy(fault, running, random).await
            }
            Fault::ServerCrash | Fault::BackendKill => Ok(After::Alive(running)),
        }
    }

    async fn kill_at_a_moment(
        &mut self,
        mut running: Running,
        random: &mut Random,
    ) -> Result<After> {
        let hold = random.chance(0.5);
        let action = if hold { Action::Hold } else { Action::Tell };
        if self.moment(&mut running, action, random).await? == Moment::Ended {
            return Ok(After::Ended(running.wait().await?));
        }
        // What was held is passed on after the death, or lost with it.
        if let Some(proxy) = self.proxy
            && hold
            && random.chance(0.5)
        {
            let open = proxy.open();
            let outcome = running.kill().await?;
            let state = open.state();
            proxy.cut();
            if outcome.was_killed() {
                self.phase.struck(Fault::Kill, state);
            }
            return Ok(After::Ended(outcome));
        }
        Ok(After::Ended(self.kill(running).await?))
    }

    /// Kills it now.
    async fn kill(&mut self, running: Running) -> Result<Outcome> {
        let Some(proxy) = self.proxy else {
            // It may have ended by itself, which the outcome will tell.
            let stopped = running.signal("STOP");
            let state = locks::state(running.id());
            let outcome = running.kill().await?;
            if stopped.is_ok() && outcome.was_killed() {
                self.phase.struck_at(Fault::Kill, state);
            }
            return Ok(outcome);
        };
        let open = proxy.open();
        let outcome = running.kill().await?;
        proxy.release();
        let state = open.settled().await;
        if outcome.was_killed() {
            self.phase.struck(Fault::Kill, state);
        }
        Ok(outcome)
    }

    async fn terminate(&mut self, mut running: Running, random: &mut Random) -> Result<After> {
        if self.moment(&mut running, Action::Tell, random).await? == Moment::Ended
            || running.signal("TERM").is_err()
        {
            return Ok(After::Ended(running.wait().await?));
        }
        self.took_note(Fault::Terminate, running.id());
        let outcome = running.wait().await?;
        Ok(After::Ended(outcome))
    }

    async fn stop(
        &mut self,
        fault: Fault,
        mut running: Running,
        random: &mut Random,
    ) -> Result<After> {
        if self.moment(&mut running, Action::Tell, random).await? == Moment::Ended
            || running.signal("STOP").is_err()
        {
            return Ok(After::Ended(running.wait().await?));
        }
        self.took_note(fault, running.id());
        self.pause(random, 10, 400).await?;
        if let Some(proxy) = self.proxy
            && fault == Fault::StopAndCut
        {
            proxy.cut();
            self.pause(random, 1, 50).await?;
        }
        running.signal("CONT")?;
        Ok(After::Alive(running))
    }

    async fn slow(&mut self, running: Running, random: &mut Random) -> Result<After> {
        if let Some(proxy) = self.proxy {
            proxy.slow(Duration::from_micros(u64::try_from(
                random.between(300, 8_000),
            )?));
            self.took_note(Fault::Slow, running.id());
            self.pause(random, 50, 400).await?;
            proxy.slow(Duration::ZERO);
        }
        Ok(After::Alive(running))
    }

    async fn by_proxy(
        &mut self,
        fault: Fault,
        mut running: Running,
        random: &mut Random,
    ) -> Result<After> {
        let Some(proxy) = self.proxy else {
            return Ok(After::Alive(running));
        };
        let pause = Duration::from_millis(u64::try_from(random.between(5, 500))?);
        let action = match fault {
            Fault::Stall => Action::Stall(pause),
            Fault::HalfOpen => Action::HalfOpen(random.pick(&[Side::Client, Side::Server]), pause),
            _ => random.pick(&[
                Action::Cut(Reach::One),
                Action::Cut(Reach::One),
                Action::Cut(Reach::All),
                Action::CutWithin,
            ]),
        };
        match self.moment(&mut running, action, random).await? {
            Moment::Struck(struck) => self.phase.struck(fault, Some(struck.state)),
            Moment::Late => {
                proxy.disarm();
                if fault == Fault::Cut
                    && let Some(struck) = proxy.cut()
                {
                    self.phase.struck(fault, Some(struck.state));
                }
            }
            Moment::Ended => return Ok(After::Ended(running.wait().await?)),
        }
        Ok(After::Alive(running))
    }

    /// Waits for the drawn moment, at which the proxy does what it is armed with.
    async fn moment(
        &mut self,
        running: &mut Running,
        action: Action,
        random: &mut Random,
    ) -> Result<Moment> {
        let usual = self.phase.usual;
        let Some(proxy) = self.proxy else {
            let lived = u64::try_from(self.born.elapsed().as_micros())?;
            let pause = Duration::from_micros(usual.draw(random, lived));
            return self.wait(running, None, pause.min(usual.patience())).await;
        };
        let lived = proxy.messages() - self.messages;
        let told = proxy.arm(usual.trip(random, lived, action));
        let moment = self.wait(running, Some(told), usual.patience()).await?;
        if moment != Moment::Ended || action == Action::Tell {
            proxy.disarm();
        }
        Ok(moment)
    }

    async fn wait(
        &self,
        running: &mut Running,
        mut told: Option<Receiver<Struck>>,
        patience: Duration,
    ) -> Result<Moment> {
        let began = Instant::now();
        loop {
            if let Some(struck) = told.as_mut().and_then(|told| told.try_recv().ok()) {
                return Ok(Moment::Struck(struck));
            }
            if !running.is_alive()? {
                return Ok(Moment::Ended);
            }
            if began.elapsed() >= patience || self.phase.is_stopped() {
                return Ok(Moment::Late);
            }
            let rest = patience.saturating_sub(began.elapsed());
            tokio::time::sleep(GLANCE.min(rest)).await;
        }
    }

    async fn pause(&self, random: &mut Random, least: i64, most: i64) -> Result<()> {
        let pause = u64::try_from(random.between(least, most))?;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        Ok(())
    }

    fn took_note(&self, fault: Fault, process: u32) {
        match self.proxy {
            Some(proxy) => self.phase.struck(fault, proxy.open().state()),
            None => self.phase.struck_at(fault, locks::state(process)),
        }
    }
}
