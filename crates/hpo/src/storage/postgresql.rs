//! Studies in a `PostgreSQL` database, for workers on many machines.

use super::{Journal, failed};
use crate::Result;
use postgres::config::SslMode;
use postgres::{Client, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Keeps studies in a `PostgreSQL` database.
///
/// A broken connection is reopened and the request repeated for up to a minute, so that a database may
/// be restarted under its workers.
///
/// With `sslmode=require` in the address connections are encrypted, and the server's certificate must be
/// valid for its name under the system's certificates and those in the PEM file that `sslrootcert=FILE` or
/// `PGSSLROOTCERT` names (managed databases publish theirs). Without, they are not encrypted.
pub struct Postgres {
    address: String,
    shown: String,
    client: Mutex<Option<Client>>,
    /// How connections are encrypted, where they are.
    tls: Option<MakeRustlsConnect>,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS foretaste_events (
    study TEXT NOT NULL, place BIGINT NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (study, place));
CREATE TABLE IF NOT EXISTS foretaste_beats (
    study TEXT NOT NULL, worker TEXT NOT NULL, beat BIGINT NOT NULL,
    PRIMARY KEY (study, worker));";

/// How long a database may be unavailable.
const AWAY: Duration = Duration::from_mins(1);

impl Postgres {
    /// Connects, and creates missing tables.
    ///
    /// # Errors
    /// [`HpoError::Storage`](crate::HpoError::Storage) where the database does not answer or refuses.
    pub fn open(address: &str) -> Result<Self> {
        let shown = without_password(address);
        let (address, roots) = without_root_certificates(address);
        let config: postgres::Config = address.parse().map_err(|e| failed(&shown, describe(&e)))?;
        let tls = match config.get_ssl_mode() {
            SslMode::Require => Some(encrypted(roots.as_deref()).map_err(|reason| failed(&shown, reason))?),
            _ => None,
        };
        let opened = Self { address, shown, client: Mutex::new(None), tls };
        let client = opened.connect().map_err(|e| failed(&opened.shown, describe(&e)))?;
        *opened.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
        // Two workers may create the tables at once; one of them then finds the other's.
        let made = opened.with(|c| c.batch_execute(SCHEMA));
        if made.is_err() {
            opened.with(|c| c.batch_execute(SCHEMA))?;
        }
        Ok(opened)
    }

    fn connect(&self) -> Result<Client, postgres::Error> {
        let mut config: postgres::Config = self.address.parse()?;
        config
            .connect_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(30))
            .application_name("foretaste");
        match &self.tls {
            Some(tls) => config.connect(tls.clone()),
            None => config.connect(NoTls),
        }
    }

    fn with<T>(&self, mut work: impl FnMut(&mut Client) -> Result<T, postgres::Error>) -> Result<T> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let attempt = match slot.take() {
                Some(client) => Ok(client),
                None => self.connect(),
            };
            let error = match attempt {
                Ok(mut client) => match work(&mut client) {
                    Ok(value) => {
                        *slot = Some(client);
                        return Ok(value);
                    }
                    // The database refused the request; shutting down does not count as a refusal.
                    Err(e)
                        if e.as_db_error().is_some_and(|d| {
                            !["57", "08", "53"].iter().any(|class| d.code().code().starts_with(class))
                        }) =>
                    {
                        *slot = Some(client);
                        return Err(failed(&self.shown, describe(&e)));
                    }
                    Err(e) => e,
                },
                Err(e) => e,
            };
            if start.elapsed() > AWAY {
                return Err(failed(&self.shown, describe(&error)));
            }
            tracing::debug!("{}: {}; trying again", self.shown, describe(&error));
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

/// The client's errors hide their reason in their source.
fn describe(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(inner) => inner.message().to_owned(),
        None => std::error::Error::source(error).map_or_else(
            || error.to_string(),
            |source| {
                let text = format!("{error}: {source}");
                // The one case that a user can mend.
                let unknown = text.contains("UnknownIssuer");
                let help = "; name the file of its certificates with sslrootcert=FILE in the address";
                if unknown { text + help } else { text }
            },
        ),
    }
}

/// The address without `sslrootcert=FILE`, which the client does not know, and that file.
fn without_root_certificates(address: &str) -> (String, Option<PathBuf>) {
    let Some((place, options)) = address.split_once('?') else { return (address.to_owned(), None) };
    let (roots, others): (Vec<&str>, Vec<&str>) =
        options.split('&').partition(|option| option.starts_with("sslrootcert="));
    let roots = roots.first().map(|option| PathBuf::from(&option["sslrootcert=".len()..]));
    let rest = if others.is_empty() { place.to_owned() } else { format!("{place}?{}", others.join("&")) };
    (rest, roots)
}

/// TLS that trusts the system's certificates and those of the file `roots` (or of `PGSSLROOTCERT`).
fn encrypted(roots: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let named = roots.map(Path::to_owned).or_else(|| std::env::var_os("PGSSLROOTCERT").map(PathBuf::from));
    if let Some(file) = named {
        let fail = |e: &dyn std::fmt::Display| format!("{}: cannot read certificates: {e}", file.display());
        let mut found = 0;
        for certificate in CertificateDer::pem_file_iter(&file).map_err(|e| fail(&e))? {
            trusted.add(certificate.map_err(|e| fail(&e))?).map_err(|e| fail(&e))?;
            found += 1;
        }
        if found == 0 {
            return Err(fail(&"there are none in PEM form"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return "postgres".into() };
    // A password may also be among the options after the question mark.
    let rest = rest.split('?').next().unwrap_or(rest);
    let Some((user, host)) = rest.rsplit_once('@') else { return format!("{scheme}://{rest}") };
    format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or(user))
}

impl Journal for Postgres {
    fn address(&self) -> String {
        self.shown.clone()
    }

    fn read(&self, study: &str, from: u64) -> Result<Vec<String>> {
        let rows = self.with(|c| {
            c.query(
                "SELECT event FROM foretaste_events WHERE study = $1 AND place >= $2 ORDER BY place",
                &[&study, &(from as i64)],
            )
        })?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    fn append(&self, study: &str, place: u64, event: &str) -> Result<bool> {
        // A gap would never be filled: an event goes directly after the last one.
        let text = "INSERT INTO foretaste_events SELECT $1::text, $2::bigint, $3::text \
                    WHERE $2::bigint = 0 OR EXISTS (SELECT 1 FROM foretaste_events WHERE study = $1::text \
                    AND place = $2::bigint - 1) ON CONFLICT DO NOTHING";
        Ok(self.with(|c| c.execute(text, &[&study, &(place as i64), &event]))? == 1)
    }

    fn beat(&self, study: &str, worker: &str) -> Result<()> {
        let text = "INSERT INTO foretaste_beats VALUES ($1, $2, 1) ON CONFLICT (study, worker) DO UPDATE SET \
            beat = foretaste_beats.beat + 1";
        self.with(|c| c.execute(text, &[&study, &worker])).map(drop)
    }

    fn beats(&self, study: &str) -> Result<Vec<(String, i64)>> {
        let rows = self.with(|c| {
            c.query("SELECT worker, beat FROM foretaste_beats WHERE study = $1 ORDER BY worker", &[&study])
        })?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    fn studies(&self) -> Result<Vec<String>> {
        let rows =
            self.with(|c| c.query("SELECT study FROM foretaste_events WHERE place = 0 ORDER BY study", &[]))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{without_password, without_root_certificates};
    use std::path::PathBuf;

    #[test]
    fn root_certificates_are_taken_out_of_the_address() {
        let (address, roots) =
            without_root_certificates("postgres://h/d?sslmode=require&sslrootcert=/ca.pem");
        assert_eq!(
            (address.as_str(), roots),
            ("postgres://h/d?sslmode=require", Some(PathBuf::from("/ca.pem")))
        );
        assert_eq!(without_root_certificates("postgres://h/d").1, None);
    }

    #[test]
    fn passwords_are_never_shown() {
        assert_eq!(
            without_password("postgres://me:secret@host:5432/db?password=secret"),
            "postgres://me@host:5432/db"
        );
        assert_eq!(without_password("postgres://host/db?user=me&password=secret"), "postgres://host/db");
    }
}
