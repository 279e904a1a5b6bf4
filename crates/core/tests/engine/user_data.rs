//! User data: what is taken for text, what is filled in, and what is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::user_data::{LIMIT, UserData};

fn filled(text: &str, meeting: &str, role: Role) -> Result<String, String> {
    let meeting = MeetingId::new(meeting).expect("an id");
    let data = UserData::parse(text).expect("it is user data").filled(&meeting, role)?;
    let bytes = STANDARD.decode(data).expect("it is base64");
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn meeting_and_role_are_filled_in() {
    let script = "#!/bin/sh\necho @elephant:meeting_id@ '@elephant:role@' ${HOME} @elephant:other@\n";
    assert_eq!(
        filled(script, "b1f0-4.2", Role::Teacher),
        Ok("#!/bin/sh\necho b1f0-4.2 'teacher' ${HOME} @elephant:other@\n".to_owned())
    );
    let packed = STANDARD.encode("#cloud-config\nhostname: @elephant:role@-@elephant:meeting_id@\n");
    assert_eq!(filled(&packed, "m", Role::Student), Ok("#cloud-config\nhostname: student-m\n".to_owned()));
}

/// What shells, awk, PowerShell, batch files, Jinja, Terraform, CloudFormation and make have for their own.
#[test]
fn what_others_would_fill_in_stays_as_it_is() {
    for own in [
        "${role}",
        "$role",
        "\"${meeting_id:-none}\"",
        "awk '{role}'",
        "awk -F: '{print $1} {role} END {meeting_id}'",
        "{role,meeting_id}",
        "function f {role}",
        "{{ role }}",
        "{{role}}",
        "{% if role %}{# meeting_id #}",
        "$${role}",
        "%{ if role }",
        "#{role}",
        "%role% !role! %%role%%",
        "$(role) `role`",
        "@role @{role=1} @(role) @role@ @meeting_id@",
        "<role> [role] <<role>>",
        "__role__ :role %(role)s",
        "$env:role ${env:role} $using:role",
    ] {
        let text = format!("#!/bin/sh\n{own}\n");
        assert_eq!(filled(&text, "m", Role::Teacher), Ok(text), "{own}");
    }
    // One pass: what an id says is no marker.
    let id = "x@elephant:role@";
    assert_eq!(filled("#!@elephant:meeting_id@", id, Role::Teacher), Ok(format!("#!{id}")));
}

#[test]
fn a_marker_of_old_is_pointed_out_and_a_shells_own_is_not() {
    let note = |text: &str| UserData::parse(&format!("#!/bin/sh\n{text}")).expect("a script").former_marker();
    for (text, former, marker) in [
        ("echo {meeting_id}", "{meeting_id}", "@elephant:meeting_id@"),
        ("hostname {role}", "{role}", "@elephant:role@"),
        ("echo ${role} {role}", "{role}", "@elephant:role@"),
    ] {
        let said = note(text).unwrap_or_else(|| panic!("{text}"));
        assert!(said.contains(&format!("USER_DATA has {former}, ")) && said.contains(marker), "{said}");
    }
    for text in ["echo ${role} $meeting_id", "@elephant:role@", "{{ role }}", "{ role }"] {
        assert_eq!(note(text), None, "{text}");
    }
    assert_eq!(UserData::parse(&STANDARD.encode([0xff, b'{'])).and_then(|data| data.former_marker()), None);
}

#[test]
fn the_beginnings_that_a_machine_knows_are_text() {
    for text in [
        "#!/bin/bash",
        "#cloud-config",
        "#cloud-boothook\n#!/bin/sh",
        "#include\nhttps://x",
        "version: 1.1\ntasks:",
        "content-type: multipart/mixed; boundary=b",
        "## template: jinja",
        "Content-Type: multipart/mixed; boundary=b",
        "MIME-Version: 1.0",
        "<powershell>hostname</powershell>",
        "<script>ver</script>",
    ] {
        assert_eq!(UserData::parse(text), Some(UserData::Text(text.to_owned())));
    }
    for neither in ["echo hello", "", "   ", "#", "a"] {
        assert_eq!(UserData::parse(neither), None, "{neither:?}");
    }
}

#[test]
fn what_is_no_text_is_sent_as_it_is() {
    let archive = [0x1f, 0x8b, 8, 0, b'{', b'r', b'o', b'l', b'e', b'}', 0xff];
    let data = UserData::parse(&STANDARD.encode(archive)).expect("it is base64");
    let sent = data.filled(&MeetingId::new("m").expect("an id"), Role::Teacher).expect("nothing to fill in");
    assert_eq!(STANDARD.decode(sent).as_deref(), Ok(&archive[..]));
}

#[test]
fn an_id_that_could_be_a_command_is_not_put_into_a_script() {
    for hostile in ["m; reboot", "$(reboot)", "`reboot`", "a b", "m\"", "é", "m\nreboot", "m'"] {
        let refused = filled("#!/bin/sh\necho @elephant:meeting_id@", hostile, Role::Teacher)
            .expect_err("it is refused");
        assert!(refused.contains("USER_DATA") && refused.contains("letters"), "{refused}");
        filled("#!/bin/sh\necho @elephant:role@", hostile, Role::Teacher).expect("it is not asked for");
    }
}

#[test]
fn sixteen_kib_are_the_limit_before_and_after() {
    let most = format!("#!{}", "x".repeat(LIMIT - 2));
    assert!(UserData::parse(&most).is_some());
    assert_eq!(UserData::parse(&format!("{most}x")), None);
    let grows = format!("{}@elephant:meeting_id@", &most[..LIMIT - 21]);
    let grown = filled(&grows, "twenty.two.letters.yes", Role::Teacher).expect_err("it has grown");
    assert!(grown.contains(&format!("has {} bytes", LIMIT + 1)), "{grown}");
    filled(&grows, "twenty.one.letters.so", Role::Teacher).expect("it fits to the byte");
}
