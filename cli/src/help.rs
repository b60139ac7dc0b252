//! Help pages: the tree of [`crate::args`] in the reader's language, with two examples and the exit codes of each
//! command, and what is said when a command line cannot be understood.

use crate::args::Cli;
use crate::exit::Exit;
use crate::text::Lang;
use crate::text::examples::{EXAMPLES, Examples};
use clap::builder::{Str, StyledStr};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::ffi::OsString;

/// The language before the command line is understood: flag, then environment.
pub(crate) fn language(arguments: &[OsString]) -> Lang {
    let named = |name: &str| match name {
        "en" => Some(Lang::En),
        "pt-br" | "pt" => Some(Lang::PtBr),
        _ => None,
    };
    let mut texts = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(text) = texts.next() {
        let value = if text == "--lang" { texts.next() } else { text.strip_prefix("--lang=") };
        if let Some(lang) = value.and_then(named) {
            return lang;
        }
    }
    std::env::var("PLANTAO_LANG").ok().as_deref().and_then(named).unwrap_or_default()
}

/// Whether a program is to read the answer, before the command line is understood: flag, then environment.
pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
    let mut texts = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(text) = texts.next() {
        let value = match text {
            "-o" | "--output" => texts.next(),
            _ => text
                .strip_prefix("--output=")
                .or_else(|| text.strip_prefix("-o"))
                .map(|value| value.trim_start_matches('=')),
        };
        if let Some(value) = value {
            return matches!(value, "json" | "jsonl");
        }
    }
    matches!(std::env::var("PLANTAO_OUTPUT").as_deref(), Ok("json" | "jsonl"))
}

/// The tree in a language, every option shown everywhere: for completion.
pub(crate) fn command(lang: Lang) -> Command {
    dress(Cli::command(), lang, &mut Vec::new())
}

/// The tree in a language; global options are on the first page only.
pub(crate) fn pages(lang: Lang) -> Command {
    let mut command = command(lang);
    let globals: Vec<String> =
        command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().to_string()).collect();
    command.build();
    command.mut_subcommands(|sub| hide(sub, &globals))
}

fn hide(command: Command, globals: &[String]) -> Command {
    command
        .mut_args(|arg| if globals.iter().any(|id| arg.get_id() == id.as_str()) { arg.hide(true) } else { arg })
        .mut_subcommands(|sub| hide(sub, globals))
}

/// Puts one command and all below it into a language.
fn dress(command: Command, lang: Lang, path: &mut Vec<String>) -> Command {
    let translated = |text: &StyledStr| {
        let text = text.to_string();
        lang.help(&text).unwrap_or(&text).to_owned()
    };
    let words = Words::of(lang);
    let about = command.get_about().map(translated).unwrap_or_default();
    let root = path.is_empty();
    let mut command = command
        .about(about)
        .help_template(format!("{{about-with-newline}}\n{}: {{usage}}\n\n{{all-args}}{{after-help}}\n", words.usage))
        .subcommand_help_heading(words.commands)
        .subcommand_value_name(words.command)
        .disable_help_flag(true)
        .mut_args(|arg| dress_arg(arg, lang))
        .arg(
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::Help)
                .help(lang.help("Print help").unwrap_or_default().to_owned())
                .help_heading(words.options),
        );
    if root {
        command = command.disable_version_flag(true).arg(
            Arg::new("print_version")
                .short('V')
                .long("version")
                .action(ArgAction::Version)
                .help(lang.help("Print version").unwrap_or_default().to_owned())
                .help_heading(words.options),
        );
    }
    let joined = path.join(" ");
    if let Some(examples) = EXAMPLES.iter().find(|examples| examples.path == joined) {
        command = command.after_help(after(examples, &words, lang));
    }
    command.mut_subcommands(|sub| {
        path.push(sub.get_name().to_owned());
        let sub = dress(sub, lang, path);
        path.pop();
        sub
    })
}

fn dress_arg(arg: Arg, lang: Lang) -> Arg {
    let words = Words::of(lang);
    let mut help = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
    if let Some(translated) = lang.help(&help) {
        help = translated.to_owned();
    }
    if let Some(name) = arg.get_env() {
        help.push_str(&format!(" [env: {}]", name.to_string_lossy()));
    }
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_value && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        help.push_str(&format!(" [{}: {}]", words.default, defaults.join(", ")));
    }
    let values: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if takes_value && !values.is_empty() {
        help.push_str(&format!(" [{}: {}]", words.values, values.join(", ")));
    }
    let names: Vec<Str> = arg
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(|name| lang.translated(name).map_or_else(|| name.clone(), Str::from))
        .collect();
    let heading = match arg.get_help_heading() {
        Some(_) => words.global,
        None if arg.is_positional() => words.arguments,
        None => words.options,
    };
    let arg = arg.help(help).help_heading(heading).hide_env(true);
    let arg = if takes_value { arg.hide_default_value(true).hide_possible_values(true) } else { arg };
    if takes_value && !names.is_empty() { arg.value_names(names) } else { arg }
}

fn after(examples: &Examples, words: &Words, lang: Lang) -> String {
    let mut text = format!("{}:\n", words.examples);
    for example in examples.lines {
        text.push_str(&format!("  {example}\n"));
    }
    text.push_str(&format!("\n{}:\n", words.exits));
    for exit in examples.exits {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning(lang)));
    }
    if !examples.path.is_empty() {
        text.push_str(&format!("\n{}", words.globals_are));
    }
    text.trim_end().to_owned()
}

/// The words of a help page's frame.
struct Words {
    usage: &'static str,
    commands: &'static str,
    command: &'static str,
    arguments: &'static str,
    options: &'static str,
    global: &'static str,
    examples: &'static str,
    exits: &'static str,
    default: &'static str,
    values: &'static str,
    globals_are: &'static str,
}

impl Words {
    const fn of(lang: Lang) -> Self {
        match lang {
            Lang::PtBr => Self {
                usage: "Uso",
                commands: "Comandos",
                command: "COMANDO",
                arguments: "Argumentos",
                options: "Opções",
                global: "Opções globais",
                examples: "Exemplos",
                exits: "Códigos de saída",
                default: "padrão",
                values: "valores",
                globals_are: "Opções globais: plantao --help",
            },
            Lang::En => Self {
                usage: "Usage",
                commands: "Commands",
                command: "COMMAND",
                arguments: "Arguments",
                options: "Options",
                global: "Global options",
                examples: "Examples",
                exits: "Exit codes",
                default: "default",
                values: "values",
                globals_are: "Global options: plantao --help",
            },
        }
    }
}

/// What is said about a command line that cannot be understood.
pub(crate) fn usage_error(error: &clap::Error, lang: Lang) -> String {
    if lang == Lang::En {
        return error.render().to_string().trim_end().replacen("error:", "error PLT-9033:", 1);
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let arg = context(ContextKind::InvalidArg);
    let value = context(ContextKind::InvalidValue);
    let what = match error.kind() {
        ErrorKind::UnknownArgument => format!("argumento desconhecido: {arg}"),
        ErrorKind::InvalidSubcommand => {
            format!("comando desconhecido: {}", context(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingRequiredArgument => format!("falta: {arg}"),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "falta o comando".to_owned()
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("falta o valor de {arg}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            format!("valor inválido para {arg}: {value}")
        }
        ErrorKind::ArgumentConflict => {
            format!("{arg} não combina com {}", context(ContextKind::PriorArg))
        }
        ErrorKind::InvalidUtf8 => "um argumento não é UTF-8".to_owned(),
        _ => error.to_string().trim_end().to_owned(),
    };
    let mut text = format!("erro PLT-9033: {what}");
    let valid = context(ContextKind::ValidValue);
    if !valid.is_empty() && error.kind() == ErrorKind::InvalidValue {
        text.push_str(&format!("\n  valores: {valid}"));
    }
    let meant = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    if let Some(meant) = meant.into_iter().map(context).find(|text| !text.is_empty()) {
        text.push_str(&format!("\n  você quis dizer: {meant}"));
    }
    text.push_str("\n  o que fazer: veja a ajuda do comando: --help");
    text
}

/// What a command line error ends with.
pub(crate) const USAGE_EXIT: Exit = Exit::Usage;
