//! User data: what is taken for text, what is filled in, and what is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elephant_launch::meeting::{MeetingId, Role};
use elephant_launch::user_data::{LIMIT, UserData};

fn filled(text: &str, meeting: &str, role: Role) -> Result<String, String> {
    let meeting = MeetingId::new(meeting).expect("an id");
    let data = UserData::parse(text).expect("it is user data").filled(&meeting, role)?;
    let bytes = STANDARD.decode(data).expect("it is base64");
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn meeting_and_role_are_filled_in() {
    let script = "#!/bin/sh\necho {meeting_id} {role} ${HOME} {other}\n";
    assert_eq!(
        filled(script, "b1f0-4.2", Role::Teacher),
        Ok("#!/bin/sh\necho b1f0-4.2 teacher ${HOME} {other}\n".to_owned())
    );
    let packed = STANDARD.encode("#cloud-config\nhostname: {role}-{meeting_id}\n");
    assert_eq!(filled(&packed, "m", Role::Student), Ok("#cloud-config\nhostname: student-m\n".to_owned()));
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
        let refused =
            filled("#!/bin/sh\necho {meeting_id}", hostile, Role::Teacher).expect_err("it is refused");
        assert!(refused.contains("USER_DATA") && refused.contains("letters"), "{refused}");
        filled("#!/bin/sh\necho {role}", hostile, Role::Teacher).expect("it is not asked for");
    }
}

#[test]
fn sixteen_kib_are_the_limit_before_and_after() {
    let most = format!("#!{}", "x".repeat(LIMIT - 2));
    assert!(UserData::parse(&most).is_some());
    assert_eq!(UserData::parse(&format!("{most}x")), None);
    let grows = format!("{}{{meeting_id}}", &most[..LIMIT - 12]);
    let grown = filled(&grows, "thirteen.long", Role::Teacher).expect_err("it has grown");
    assert!(grown.contains(&format!("has {} bytes", LIMIT + 1)), "{grown}");
    filled(&grows, "twelve..long", Role::Teacher).expect("it fits to the byte");
}
