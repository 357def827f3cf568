//! Certificates of the tests' own, made by the openssl program, which comes with Debian's PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::scratch;

/// An authority, and a server's certificate from it.
#[derive(Debug)]
pub struct Certificates {
    /// The file with the authority's certificate.
    pub authority: PathBuf,
    /// The server's certificate, in PEM.
    pub certificate: String,
    /// The server's key, in PEM.
    pub key: String,
}

const SETTINGS: &str = "
[req]
distinguished_name = name
prompt = no
[name]
CN = a test of Backstitch
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:";

/// Makes an authority, and a certificate for a server of this name.
pub fn certificates(host: &str) -> Result<Certificates> {
    let folder = scratch::folder("tls")?;
    std::fs::write(folder.join("settings"), format!("{SETTINGS}{host}\n"))?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config settings";
    let own = format!("req -x509 {key} -extensions authority -days 2 -keyout ca.key -out ca.crt");
    openssl(&folder, &own)?;
    openssl(
        &folder,
        &format!("req {key} -keyout server.key -out server.csr"),
    )?;
    let sign = "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile settings \
                -extensions server -out server.crt";
    openssl(&folder, sign)?;
    Ok(Certificates {
        authority: folder.join("ca.crt"),
        certificate: std::fs::read_to_string(folder.join("server.crt"))?,
        key: std::fs::read_to_string(folder.join("server.key"))?,
    })
}

fn openssl(folder: &Path, arguments: &str) -> Result<()> {
    let mut command = Command::new("openssl");
    command
        .args(arguments.split_whitespace())
        .current_dir(folder);
    let output = command.output().context(
        "run openssl; install the package openssl (Debian and Ubuntu: apt-get install openssl)",
    )?;
    ensure!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
