//! A certificate authority made for the run, by the command line of OpenSSL: a root, an intermediate and a certificate
//! for `localhost`, RSA of 2048 bits like those that AWS's endpoints show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Certificates {
    /// The server's certificate and the intermediate.
    pub chain: PathBuf,
    pub key: PathBuf,
    /// The system's roots, and the run's.
    pub system_and_ours: PathBuf,
    /// The roots that the function trusts in Lambda, and the run's.
    pub amazon_and_ours: PathBuf,
}

/// Where Linux distributions keep all their roots in one file.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

pub fn make(folder: &Path) -> Certificates {
    let file = |name: &str| folder.join(name);
    let make = |name: &str, subject: &str, issuer: Option<&str>, extensions: &str| {
        let conf = file(&format!("{name}.conf"));
        let text =
            format!("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN={subject}\n[ext]\n{extensions}\n");
        fs::write(&conf, text).expect("the folder can be written");
        let mut request = Command::new("openssl");
        request.args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-config"]).arg(&conf);
        request.arg("-keyout").arg(file(&format!("{name}.key")));
        if issuer.is_none() {
            request.args(["-x509", "-days", "2", "-extensions", "ext", "-out"]);
            request.arg(file(&format!("{name}.pem")));
            return run(&mut request);
        }
        request.arg("-out").arg(file(&format!("{name}.csr")));
        run(&mut request);
        let issuer = issuer.unwrap_or_default();
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-extensions", "ext", "-extfile"]);
        sign.arg(&conf).arg("-in").arg(file(&format!("{name}.csr")));
        sign.arg("-CA").arg(file(&format!("{issuer}.pem"))).arg("-CAkey");
        sign.arg(file(&format!("{issuer}.key"))).arg("-out").arg(file(&format!("{name}.pem")));
        run(&mut sign);
    };
    let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign";
    make("root", "Root of one run", None, authority);
    make("intermediate", "Intermediate of one run", Some("root"), authority);
    let server = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
                  extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost";
    make("server", "localhost", Some("intermediate"), server);
    let system = SYSTEM.iter().find(|path| Path::new(path).is_file()).unwrap_or_else(|| {
        panic!("none of {SYSTEM:?} is here; install the system's roots (Debian, Ubuntu: apt install ca-certificates)")
    });
    let amazon = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/aws/src/sdk/amazon.pem");
    Certificates {
        chain: joined(folder, "chain.pem", &[file("server.pem"), file("intermediate.pem")]),
        key: file("server.key"),
        amazon_and_ours: joined(folder, "amazon.pem", &[amazon, file("root.pem")]),
        system_and_ours: joined(folder, "system.pem", &[PathBuf::from(system), file("root.pem")]),
    }
}

fn joined(folder: &Path, name: &str, parts: &[PathBuf]) -> PathBuf {
    let mut text = String::new();
    for part in parts {
        text += &fs::read_to_string(part).unwrap_or_else(|error| panic!("{}: {error}", part.display()));
        text.push('\n');
    }
    let path = folder.join(name);
    fs::write(&path, text).expect("the folder can be written");
    path
}

fn run(command: &mut Command) {
    let output = command.output().expect("openssl runs (Debian, Ubuntu: apt install openssl)");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
