//! A certificate for people, and what checking a database against one came to.

use std::fmt::Write;

use worker::certificate::{Certificate, Verified};
use worker::report::{number, table};
use worker::time;

use super::text::{count, line, short};

/// The certificate as text.
pub(crate) fn text(certificate: &Certificate) -> String {
    let mut text = format!(
        "CERTIFICATE of run {}\n\n\
         database   {}\n\
         plan       {}\n\
         as of      {}, window {} days\n\
         run        {} to {}\n\
         issued     {}, by release {}\n\n",
        certificate.run,
        line(&certificate.database),
        certificate.plan,
        time::show(certificate.as_of),
        certificate.window_days,
        time::show(certificate.started_at),
        time::show(certificate.completed_at),
        time::show(certificate.issued_at),
        line(&certificate.release),
    );
    let header = [
        "run",
        "unit",
        "version",
        "read",
        "written",
        "standing",
        "changed",
        "gone",
        "quarantined",
        "digest of what stands",
    ];
    let rows = certificate.units.iter().map(|unit| {
        [
            short(&unit.run).to_owned(),
            unit.unit.clone(),
            unit.version.to_string(),
            number(unit.read),
            number(unit.rows.written),
            number(unit.rows.standing),
            number(unit.rows.changed),
            number(unit.rows.gone),
            number(unit.quarantined),
            start(&unit.rows.standing_digest).to_owned(),
        ]
    });
    text.push_str(&table(header, rows, &[2, 3, 4, 5, 6, 7, 8]));
    text.push_str("\n\n");
    let validation = &certificate.validation;
    let how = match validation.deep {
        true => format!(
            "{} computed from their sources again, none wrong, {} changed since by the application",
            count(validation.verified, "row"),
            number(validation.changed)
        ),
        false => "counts, checks, journaled rows; rows were not computed again".into(),
    };
    let _ = writeln!(text, "validated  {}: {how}", time::show(validation.at));
    for warning in &validation.warnings {
        let _ = writeln!(text, "           worth a look: {}", line(warning));
    }
    for gate in &certificate.gates {
        let _ = writeln!(
            text,
            "gate       {}, {}: {} after {} of {} s ({})",
            line(&gate.environment),
            time::show(gate.at),
            if gate.open { "open" } else { "closed" },
            gate.watched_seconds,
            gate.required_seconds,
            line(&gate.targets.join("; "))
        );
    }
    for signed in &certificate.signatures {
        let note = signed
            .note
            .as_deref()
            .map_or(String::new(), |note| format!(": {}", line(note)));
        let _ = writeln!(
            text,
            "signed     {} ({}), {}{note}",
            line(&signed.by),
            line(&signed.role),
            time::show(signed.at)
        );
    }
    let items = certificate.done.len();
    let all = items + certificate.open.len();
    let _ = write!(text, "checklist  {items} of {all} items done");
    if !certificate.open.is_empty() {
        let _ = write!(text, "; open: {}", line(&certificate.open.join(", ")));
    }
    let streams = certificate.journal.len().saturating_sub(2);
    let _ = write!(
        text,
        "\njournal    {streams} streams, {}\ndigest     {}\n",
        certificate.journal.last().map_or("", String::as_str),
        certificate.digest
    );
    text
}

/// What checking a database against a certificate came to.
pub(crate) fn verified(certificate: &Certificate, verified: &Verified) -> String {
    let mut text = String::new();
    for finding in &verified.findings {
        let _ = writeln!(text, "❌ {}", line(finding));
    }
    for changed in &verified.changes {
        let _ = writeln!(
            text,
            "⚠️  {}: {} of {} stand as they were written, {} changed, {} gone; when it was certified {}, {} and {}",
            changed.unit,
            number(changed.now.standing),
            count(changed.now.written, "row"),
            number(changed.now.changed),
            number(changed.now.gone),
            number(changed.certified.standing),
            number(changed.certified.changed),
            number(changed.certified.gone),
        );
    }
    if verified.findings.is_empty() {
        let _ = writeln!(
            text,
            "✅ journal, plan and the {} that run {} wrote are what was certified at {}",
            count(verified.rows, "row"),
            certificate.run,
            time::show(certificate.issued_at)
        );
    }
    if verified.findings.is_empty() && verified.changes.is_empty() {
        text.push_str("✅ what stands in the destinations is what was certified\n");
    }
    text
}

/// The beginning of a digest.
fn start(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
