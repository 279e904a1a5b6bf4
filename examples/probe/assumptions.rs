//! What the project takes for true of AWS, and where each of it comes from. `--list` prints it; `tests/README.md` shows it.

/// Where the knowledge comes from.
pub enum Evidence {
    /// AWS says so.
    Documented(&'static str),
    /// A test of this project shows it.
    TestedHere(&'static str),
    /// AWS does not say so. The probe asks, if it is given these options.
    Asked(&'static str),
    /// The deployed function asks EC2 by a dry run, under its own role: nobody else can be that role.
    Preflight,
    /// Nobody can ask.
    Trusted(&'static str),
}

pub struct Assumption {
    pub name: &'static str,
    pub text: &'static str,
    pub evidence: Evidence,
    /// What would have to change if it does not hold.
    pub otherwise: &'static str,
}

const fn asked(
    name: &'static str,
    text: &'static str,
    options: &'static str,
    otherwise: &'static str,
) -> Assumption {
    Assumption { name, text, evidence: Evidence::Asked(options), otherwise }
}

pub const ALL: [Assumption; 27] = [
    Assumption {
        name: "deadline",
        text: "Lambda ends a function at its deadline",
        evidence: Evidence::Documented("Lambda developer guide, \"Timeout\""),
        otherwise: "a lease may not end with the delivery's deadline (`plan.rs`)",
    },
    Assumption {
        name: "clocks",
        text: "the clocks of two functions differ by 5 s at most",
        evidence: Evidence::Trusted("Lambda's hosts keep time; nobody publishes how well"),
        otherwise: "`skew` grows (`timing.rs`)",
    },
    Assumption {
        name: "on-the-wire",
        text: "a request that was not answered takes effect within 45 s, or never",
        evidence: Evidence::Trusted("no request can be watched inside AWS; the SDK gives up after 10 s"),
        otherwise: "`max_effect_delay` grows (`timing.rs`)",
    },
    Assumption {
        name: "adapters",
        text: "the SDK and the adapters do what their tests show",
        evidence: Evidence::TestedHere(
            "`contract.rs`, `ec2.rs`, `dynamodb.rs`; `aws/schema.py` judges each request",
        ),
        otherwise: "the adapter and its test",
    },
    asked(
        "list-lag",
        "DescribeInstances by client token shows a new machine within 45 s",
        "",
        "`max_effect_delay` grows (`timing.rs`): a machine that is not shown yet would be launched again",
    ),
    asked(
        "token-repeated",
        "a request that is repeated with its token answers the same machine",
        "",
        "no repeat is safe: the launch protocol has no ground",
    ),
    asked(
        "token-other-parameters",
        "the same token with other parameters is refused with IdempotentParameterMismatch",
        "",
        "the row of that code in `ec2/meaning.rs`",
    ),
    asked(
        "token-other-zone",
        "the same token in another zone launches another machine",
        "",
        "nothing breaks: an attempt keeps its subnet in any case; the docs are corrected",
    ),
    asked(
        "token-in-flight",
        "two requests with one token at once make one machine",
        "",
        "a repeat waits until the first request is over (`max_effect_delay`) before it is sent",
    ),
    asked(
        "dry-run-binds-nothing",
        "a dry run does not bind a token to its parameters",
        "",
        "preflight must send no token",
    ),
    asked(
        "token-two-sessions",
        "two sessions of one role share their tokens",
        "--role",
        "a lease is handed to no other environment of the function; replays stay with the first",
    ),
    asked(
        "token-two-roles",
        "two identities of one account share their tokens",
        "--role",
        "`reconcile` may not replay an attempt of `launch`: it looks for the machine by token, after `max_effect_delay`",
    ),
    asked(
        "role-tag-removed",
        "another client sees within 5 s that the tag Role is gone",
        "",
        "a machine is ended only once its tag is seen to be gone (`ending.rs`), or the DNS watchdog ends the meeting",
    ),
    asked(
        "tag-allowed-absent",
        "what a policy allows by tag answers UnauthorizedOperation or NotFound for what does not exist",
        "--role",
        "the code that came is looked up, and gets a row in `ec2/meaning.rs`",
    ),
    asked(
        "tag-allowed-just-tagged",
        "what a policy allows by tag is allowed within 45 s of the tag",
        "--role",
        "a repeat waits longer where a machine was just tagged (`ending.rs`)",
    ),
    Assumption {
        name: "dry-run-under-role",
        text: "the role of `launch` may launch what the stack is told to: with its profile, key, template, on Spot",
        evidence: Evidence::Preflight,
        otherwise: "the policy of `launch` in both templates gets the permission that is named",
    },
    asked(
        "template-tags",
        "a launch template's tags are added to the request's, which win where both have a key",
        "",
        "`launch` refuses a template that has tags (`launch_template.rs`)",
    ),
    asked(
        "template-disks",
        "a launch template's disks stay beside those that the request names",
        "",
        "the docs of LAUNCH_TEMPLATE say which disks are lost",
    ),
    asked(
        "token-terminated",
        "the token of a terminated machine launches none: IdempotentInstanceTerminated, or the dead machine",
        "",
        "no attempt may be repeated once its machine can have died; a look by token comes first",
    ),
    asked(
        "index-key-condition",
        "a condition may compare a key of an index with an empty string",
        "",
        "the conditions on `status` in `record.rs` are written without one",
    ),
    asked(
        "index-key-empty",
        "an empty string is refused as the value of an index's key",
        "",
        "nothing breaks: the project writes none",
    ),
    asked(
        "schedule-moved",
        "a schedule that is moved as it fires fires once or twice, and the move is done or refused as NotFound or Conflict",
        "--scheduler-role",
        "the code that came gets a row in `scheduler.rs`",
    ),
    asked(
        "tags-of-the-dead",
        "a terminated machine loses its tags before its entry, or with it",
        "--long",
        "nothing breaks: `reconcile` looks by id; the docs are corrected",
    ),
    asked(
        "entry-of-the-dead",
        "a terminated machine is listed for some time, and then no more",
        "--long",
        "nothing breaks: a machine that is terminated and one that is absent are the same to us",
    ),
    asked(
        "token-long-dead",
        "the token of a machine that EC2 has forgotten launches none, or another one",
        "--long",
        "the code that came gets a row in `ec2/meaning.rs`; an attempt is older than its lease long before",
    ),
    asked(
        "tag-allowed-forgotten",
        "what a policy allows by tag answers UnauthorizedOperation or NotFound for what EC2 has forgotten",
        "--long --role",
        "the code that came gets a row in `ec2/meaning.rs`",
    ),
    asked(
        "frozen-connection",
        "a client that was idle for an hour, as in a frozen sandbox, has its first request answered",
        "--long",
        "the connector forgets connections that were idle (`sdk.rs`)",
    ),
];

pub fn named(name: &str) -> &'static Assumption {
    let found = ALL.iter().find(|one| one.name == name);
    found.unwrap_or_else(|| panic!("no assumption is called {name}"))
}

/// The table of `tests/README.md`.
pub fn table() -> String {
    let row = |one: &Assumption| {
        let evidence = match &one.evidence {
            Evidence::Documented(page) => format!("documented: {page}"),
            Evidence::TestedHere(tests) => format!("tested here: {tests}"),
            Evidence::Asked("") => "asked by the probe".to_owned(),
            Evidence::Asked(options) => format!("asked by the probe with `{options}`"),
            Evidence::Preflight => "asked by `launch` with `{\"preflight\": true}`".to_owned(),
            Evidence::Trusted(why) => format!("neither: {why}"),
        };
        format!("| `{}` | {} | {evidence} | {} |", one.name, one.text, one.otherwise)
    };
    let head =
        "| name | what is assumed | how it is known | what changes if it is wrong |\n|---|---|---|---|"
            .to_owned();
    std::iter::once(head).chain(ALL.iter().map(row)).collect::<Vec<_>>().join("\n")
}
