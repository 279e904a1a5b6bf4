//! What the person who runs it says.

pub const USAGE: &str = "usage: cargo run --example probe -- --region REGION [options]

Asks an AWS account what the documentation does not say and this project assumes. It launches about seven machines,
ends them, and removes everything that it made. docs/ask-your-account.md has the permissions and the cost.

  --region REGION         where to ask
  --role ARN              a role that you may assume and that may launch and end machines: asks what two identities
                          share, and what a policy that goes by a tag allows
  --scheduler-role ARN    a role that EventBridge Scheduler may assume and that may do ec2:CreateTags:
                          asks what becomes of a schedule that is moved as it fires (4 minutes more)
  --long                  also asks what EC2 still knows an hour after a termination
  --image AMI             default: the newest Amazon Linux 2023 for x86_64
  --instance-type TYPE    default: t3.micro

  --clean-up              end and remove what earlier runs left in the Region, and ask nothing
  --list                  print the table of assumptions, and ask nothing
  --help

It ends with 0 if everything that was asked is as assumed, 1 if something differs or could not be asked, 2 if it was
called wrongly.";

const IMAGE: &str = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";

pub enum Told {
    Help,
    List,
    Ask(Options),
    CleanUp(Options),
}

pub struct Options {
    pub region: String,
    pub role: Option<String>,
    pub scheduler_role: Option<String>,
    pub long: bool,
    pub image: String,
    pub instance_type: String,
}

/// A sentence about what is wrong, if something is.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Told, String> {
    let mut region = None;
    let mut clean_up = false;
    let mut options = Options {
        region: String::new(),
        role: None,
        scheduler_role: None,
        long: false,
        image: IMAGE.to_owned(),
        instance_type: "t3.micro".to_owned(),
    };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || match arguments.next() {
            Some(value) if !value.is_empty() && !value.starts_with("--") => Ok(value),
            _ => Err(format!("{argument} needs a value")),
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(Told::Help),
            "--list" => return Ok(Told::List),
            "--clean-up" => clean_up = true,
            "--long" => options.long = true,
            "--region" => region = Some(value()?),
            "--role" => options.role = Some(value()?),
            "--scheduler-role" => options.scheduler_role = Some(value()?),
            "--image" => options.image = value()?,
            "--instance-type" => options.instance_type = value()?,
            _ => return Err(format!("{argument} is no option")),
        }
    }
    options.region = region.ok_or("--region is missing")?;
    Ok(if clean_up { Told::CleanUp(options) } else { Told::Ask(options) })
}
