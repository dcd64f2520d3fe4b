"""The table of commands. Each imports what it needs when it is called, so that `rlhf list` never waits for torch."""

from __future__ import annotations

import typer

from rlhf_engine.cli import about, agreement, allow, data, fit, needed, project, runs, talk

app = typer.Typer(
    name="rlhf",
    help="Take a language model through RLHF: demonstrations, comparisons, reward model, PPO, export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(runs.run)
app.command("fit")(fit.fit)
app.command("resume")(runs.resume)
app.command("list")(runs.list_runs)
app.command("show")(runs.show)
for word, what in runs.SWITCHES.items():
    app.command(word, help=what)(runs.switch(word))
app.command("chat")(talk.chat)
app.command("import")(data.import_file)
app.command("export")(data.export)
app.command("agreement")(agreement.agreement)
app.command("needed")(needed.needed)
app.command("presets")(about.presets)
app.command("allow")(allow.allow)
app.command("help")(about.help_)
app.command("doctor")(project.doctor)
app.command("demo")(project.demo)
app.command("shootout")(project.shootout)
app.add_typer(project.app, name="project")
app.add_typer(data.app, name="data")
