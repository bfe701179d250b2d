//! The folder with the generated certificates: made when missing, reused while good, renewed in time.
//!
//! ```text
//! ca.crt, ca.key     made once; replaced only when missing or expired
//! tls.crt, tls.key   replaced when unreadable, for other names, from another CA, or with a third of their life left
//! .lock              held while the others are looked at, so that two processes do not mix their halves
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::certs::{self, CA_LIFE, CertError, Issued, LEAF_LIFE, Spec};
use super::x509::Facts;

/// Why the folder of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or a file in it cannot be read or written.
    #[error("cannot {what} {path}: {source}; choose another folder with --cert-dir")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The CA is there but cannot be used. It is not replaced on its own: clients trust it.
    #[error(
        "the CA in {dir} cannot be used: {problem}; restore ca.crt and ca.key, or remove both to have a new CA \
         and update the webhook's caBundle"
    )]
    Ca {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Something is there already and must not be overwritten.
    #[error("{0} exists already: give another folder, or --force to replace it")]
    Exists(PathBuf),
    /// No certificate could be made.
    #[error(transparent)]
    Make(#[from] CertError),
}

/// Where the files of a folder are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The CA's certificate: what clients trust.
    pub ca_cert: PathBuf,
    /// The CA's key.
    pub ca_key: PathBuf,
    /// The serving certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Paths {
    /// The names in `dir`.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self {
            ca_cert: dir.join("ca.crt"),
            ca_key: dir.join("ca.key"),
            cert: dir.join("tls.crt"),
            key: dir.join("tls.key"),
        }
    }
}

/// Sees to it that `dir` holds a CA and a serving certificate for `spec` that is good at `now`.
///
/// # Errors
/// A folder that cannot be written, or a CA that is there and cannot be used.
pub fn ensure(dir: &Path, spec: &Spec, now: Timestamp) -> Result<Paths, StoreError> {
    let _lock = lock(dir)?;
    let paths = Paths::of(dir);
    let ca = match usable_ca(dir, &paths, now)? {
        Some(ca) => ca,
        None => new_ca(&paths, now)?,
    };
    if !leaf_is_good(&paths, &ca, spec, now) {
        let leaf = certs::issue(spec, &ca, LEAF_LIFE, now)?;
        write_pair(&paths.cert, &paths.key, &leaf)?;
        tracing::info!(file = %paths.cert.display(), "made a new serving certificate");
    }
    Ok(paths)
}

/// Writes a bundle made by [`certs::generate`] to `dir`; whatever is there stays, unless `force` is set.
///
/// # Errors
/// A folder that cannot be written, or a file of one of the names without `force`.
pub fn save(dir: &Path, bundle: &certs::Bundle, force: bool) -> Result<Paths, StoreError> {
    let _lock = lock(dir)?;
    let paths = Paths::of(dir);
    let all = [&paths.ca_cert, &paths.ca_key, &paths.cert, &paths.key];
    if let Some(there) = all.into_iter().find(|path| !force && path.symlink_metadata().is_ok()) {
        return Err(StoreError::Exists(there.clone()));
    }
    write_pair(&paths.ca_cert, &paths.ca_key, &bundle.ca)?;
    write_pair(&paths.cert, &paths.key, &bundle.leaf)?;
    Ok(paths)
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    // Only what is created here gets the mode: a folder that was there keeps its own.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| StoreError::Io { what: "create", path: dir.to_owned(), source })?;
    let path = dir.join(".lock");
    let failed = |source| StoreError::Io { what: "lock", path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// The CA that is there; `None` when there is none or it has expired.
fn usable_ca(dir: &Path, paths: &Paths, now: Timestamp) -> Result<Option<Issued>, StoreError> {
    let (Some(cert_pem), Some(key_pem)) = (read(&paths.ca_cert)?, read(&paths.ca_key)?) else {
        if paths.ca_cert.exists() {
            // Without its key it can sign nothing more, and its serving certificate ends within the year.
            tracing::warn!(file = %paths.ca_cert.display(), "the CA's key is missing: making a new CA");
        }
        return Ok(None);
    };
    let broken = |problem| StoreError::Ca { dir: dir.to_owned(), problem };
    let der = CertificateDer::from_pem_slice(cert_pem.as_bytes())
        .map_err(|_| broken("ca.crt holds no certificate in PEM form"))?;
    let facts = Facts::of(&der).ok_or_else(|| broken("ca.crt is no X.509 certificate"))?;
    // Before the key is looked at: a renewal that was cut short leaves the old certificate beside the new key.
    if facts.not_after <= now {
        tracing::warn!(expired = %facts.not_after, "the CA has expired: making a new one; update the webhook's caBundle");
        return Ok(None);
    }
    if !facts.is_ca {
        return Err(broken("ca.crt is not the certificate of a CA"));
    }
    if !super::pair::key_matches(&der, key_pem.as_bytes()) {
        return Err(broken("ca.key is not the key of ca.crt"));
    }
    Ok(Some(Issued { cert_pem, key_pem: key_pem.into() }))
}

fn new_ca(paths: &Paths, now: Timestamp) -> Result<Issued, StoreError> {
    let ca = certs::generate_ca(CA_LIFE, now)?;
    write_pair(&paths.ca_cert, &paths.ca_key, &ca)?;
    tracing::info!(file = %paths.ca_cert.display(), "made a new CA; clients must trust it");
    Ok(ca)
}

fn leaf_is_good(paths: &Paths, ca: &Issued, spec: &Spec, now: Timestamp) -> bool {
    let (Ok(Some(cert)), Ok(Some(key))) = (read(&paths.cert), read(&paths.key)) else { return false };
    let facts = |pem: &str| Facts::of(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?);
    let (Some(leaf), Some(ca)) = (facts(&cert), facts(&ca.cert_pem)) else { return false };
    let Ok(der) = CertificateDer::from_pem_slice(cert.as_bytes()) else { return false };
    leaf.not_before <= now
        && now < leaf.renew_at()
        && spec.covered_by(&leaf)
        && leaf.issued_by(&ca)
        && super::pair::key_matches(&der, key.as_bytes())
}

/// The text of a file; `None` when it is not there. Bytes that are no text become something no parser accepts.
fn read(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8(bytes).unwrap_or_default())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { what: "read", path: path.to_owned(), source }),
    }
}

/// The key first: were we stopped in between, the certificate would be missing or not match, and both be made anew.
fn write_pair(cert: &Path, key: &Path, issued: &Issued) -> Result<(), StoreError> {
    write_whole(key, &issued.key_pem, 0o600)?;
    write_whole(cert, &issued.cert_pem, 0o644)
}

/// Readers see the old file or the new one; the mode is set when the file is created, never afterwards.
fn write_whole(path: &Path, text: &str, mode: u32) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let written = (|| {
        // A leftover of a process that was killed; nobody else writes here while the lock is held.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    written.map_err(|source| StoreError::Io { what: "write", path: path.to_owned(), source })
}

#[cfg(test)]
#[path = "cert_store_tests.rs"]
mod tests;
