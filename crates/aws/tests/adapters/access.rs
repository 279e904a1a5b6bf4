//! How AWS is reached: Region, credentials and trust from the environment.

use std::path::{Path, PathBuf};

use elephant_aws::access::{Access, Trust};
use elephant_aws::sdk;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// What Lambda sets for a function with a role.
const LAMBDA: [(&str, &str); 5] = [
    ("AWS_REGION", "us-west-2"),
    ("AWS_ACCESS_KEY_ID", "ASIA"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_SESSION_TOKEN", "token"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
];

fn access(variables: &[(&str, &str)]) -> Access {
    Access::from_variables(|name| {
        variables.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn in_lambda_with(more: &[(&'static str, &'static str)]) -> Access {
    access(&[&LAMBDA, more].concat())
}

#[test]
fn in_lambda_everything_stands_in_the_environment_and_amazon_vouches_for_aws() {
    let expected = Access {
        region: Some("us-west-2".to_owned()),
        credentials_in_environment: true,
        trust: Trust::Amazon,
    };
    assert_eq!(in_lambda_with(&[]), expected);
}

#[test]
fn a_laptop_looks_where_every_sdk_looks_and_trusts_its_system() {
    let expected = Access { region: None, credentials_in_environment: false, trust: Trust::System };
    assert_eq!(access(&[]), expected);
    // cargo-lambda sets what Lambda sets, but not how the environment came to be.
    let watched = [("AWS_LAMBDA_FUNCTION_NAME", "launch"), ("AWS_REGION", "us-west-2")];
    assert_eq!(access(&watched).trust, Trust::System);
    // A key without its secret is none.
    assert!(
        !access(&[("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", " ")]).credentials_in_environment
    );
    assert_eq!(access(&[("AWS_DEFAULT_REGION", "eu-west-1")]).region.as_deref(), Some("eu-west-1"));
    let both = [("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_REGION", "us-east-1")];
    assert_eq!(access(&both).region.as_deref(), Some("us-east-1"), "as every SDK decides it");
}

#[test]
fn where_something_stands_between_us_and_aws_the_system_is_trusted() {
    for detour in [
        ("AWS_ENDPOINT_URL", "https://aws.example"),
        ("AWS_ENDPOINT_URL_EC2", "https://aws.example"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "https://aws.example"),
        ("AWS_ENDPOINT_URL_SCHEDULER", "https://aws.example"),
        ("AWS_ENDPOINT_URL_SSM", "https://aws.example"),
        ("HTTPS_PROXY", "http://proxy.example:3128"),
        ("https_proxy", "http://proxy.example:3128"),
        ("ALL_PROXY", "http://proxy.example:3128"),
        ("SSL_CERT_FILE", "/opt/roots.pem"),
        ("SSL_CERT_DIR", "/opt/roots"),
        ("AWS_CONFIG_FILE", "/opt/config"),
        ("AWS_REGION", "cn-north-1"),
        ("AWS_REGION", "us-iso-east-1"),
        ("AWS_REGION", "us-isob-east-1"),
        ("AWS_REGION", "eu-isoe-west-1"),
    ] {
        assert_eq!(in_lambda_with(&[detour]).trust, Trust::System, "{detour:?}");
    }
    assert_eq!(in_lambda_with(&[("AWS_REGION", "us-gov-west-1")]).trust, Trust::Amazon);
    assert_eq!(in_lambda_with(&[("AWS_ENDPOINT_URL", "")]).trust, Trust::Amazon, "empty is unset");
}

#[test]
fn a_bundle_of_ones_own_always_wins() {
    let bundle = ("AWS_CA_BUNDLE", "/opt/ours.pem");
    let expected = Trust::Bundle(PathBuf::from("/opt/ours.pem"));
    assert_eq!(in_lambda_with(&[bundle]).trust, expected);
    assert_eq!(in_lambda_with(&[bundle, ("AWS_ENDPOINT_URL", "https://aws.example")]).trust, expected);
    assert_eq!(access(&[bundle]).trust, expected);
}

/// https://www.amazontrust.com/repository/ names these.
const AMAZON_TRUST_SERVICES: [(&str, &str); 5] = [
    ("Amazon Root CA 1", "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e"),
    ("Amazon Root CA 2", "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4"),
    ("Amazon Root CA 3", "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4"),
    ("Amazon Root CA 4", "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092"),
    ("Starfield Services G2", "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5"),
];

#[test]
fn the_roots_that_are_trusted_in_lambda_are_amazons_five() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sdk/amazon.pem");
    let found: Vec<String> = CertificateDer::pem_file_iter(file)
        .expect("the file is there")
        .map(|certificate| {
            let digest = ring::digest::digest(&ring::digest::SHA256, &certificate.expect("it is PEM"));
            digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
        })
        .collect();
    assert_eq!(found, AMAZON_TRUST_SERVICES.map(|(_, digest)| digest));
}

#[tokio::test(flavor = "current_thread")]
async fn a_bundle_that_cannot_be_used_is_said_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let amazon = include_str!("../../src/sdk/amazon.pem");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path
    };
    let broken = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n";
    for (path, expected) in [
        (folder.path().join("missing"), "cannot be read"),
        (file("empty", ""), "no certificate is in it"),
        (file("words", "these are words"), "no certificate is in it"),
        (file("broken", broken), "certificate 1 in it cannot be used"),
        (file("half", &format!("{amazon}{broken}")), "certificate 6 in it cannot be used"),
        (file("cut", &amazon[..amazon.len() - 40]), "certificate 5 in it cannot be used"),
    ] {
        let access = Access { trust: Trust::Bundle(path.clone()), ..in_lambda_with(&[]) };
        let said = sdk::load(&access).await.expect_err("it cannot be used").chain();
        assert!(said.contains(&format!("AWS_CA_BUNDLE is \"{}\"", path.display())), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("in PEM"), "{said}");
    }
    let access = Access { trust: Trust::Bundle(file("whole", amazon)), ..in_lambda_with(&[]) };
    sdk::load(&access).await.expect("it can be used");
    let access = in_lambda_with(&[]);
    assert_eq!(access.trust, Trust::Amazon);
    let sdk = sdk::load(&access).await.expect("ours can");
    assert_eq!(sdk.region().map(AsRef::as_ref), Some("us-west-2"));
}
