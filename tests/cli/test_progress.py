import io

from rich.console import Console

from slimgen.cli import progress
from slimgen.cli.progress import Display


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=140, highlight=False)


def said(display):
    return display.console.file.getvalue()


def test_plain_lines_are_printed_every_few_seconds_and_at_the_end(monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with Display(["teach"], console=console(False)) as display:
        for done in range(1, 7):
            display.tell("teacher", done, 6, {"generator.recon": 0.5})
    # The clock moves 4 s a step, so the 4th is the first that is 10 s after the 1st.
    assert said(display).splitlines() == [
        "stage 2/7 teach teacher 4/6  12 s elapsed, 8.0 s left  generator recon 0.5",
        "stage 2/7 teach teacher 6/6  generator recon 0.5",
    ]


def test_finished_stages_leave_a_line_each():
    with Display(["prepare", "teach"], console=console(False)) as display:
        display.on_stage("prepare", {"train_images": 8, "val_images": 2, "rejected": 1}, 200.0, False)
        display.on_stage("teach", {}, 0.1, True)
    *stages, total = said(display).splitlines()
    assert stages == ["✓ prepare   3 min 20 s, 8 training, 2 validation images", "✓ teach     already done"]
    assert total.startswith("elapsed in total: ")


def test_losses_are_named_by_network_and_scores_are_marked_as_before_fine_tuning():
    losses = {"generator.recon": 3.677, "generator.adversarial": 0.029, "discriminator.loss": 0.985}
    assert progress.measured(losses) == "generator recon 3.677, adversarial 0.029; discriminator 0.985"
    with Display(["search"], console=console(False)) as display:
        display.tell("widths", 2, 2, {"generator.recon": 1.0})
        display.tell("path", 4, 4, {"psnr": 17.56})
    assert said(display).splitlines() == [
        "stage 4/7 search widths 2/2  generator recon 1",
        "stage 4/7 search path 4/4  psnr 17.56, best so far, without fine-tuning",
    ]


def test_progress_belongs_to_the_stage_after_the_last_finished_one():
    with Display(["prepare", "teach", "supernet"], console=console(False)) as display:
        display.on_stage("prepare", {}, 1.0, False)
        display.on_stage("teach", {}, 1.0, False)
        display.tell("supernet", 3, 3, {})
    assert said(display).splitlines()[2] == "stage 3/3 supernet 3/3"


def test_a_terminal_shows_one_bar_with_the_latest_values():
    with Display(["search"], console=console(True)) as display:
        display.tell("path", 4, 4, {"psnr": 20.0})
        display.tell("channel", 3, 8, {"psnr": 21.5})
        display._progress.refresh()
        assert len(display._progress.tasks) == 1
    for words in ("stage 4/7 search channel", "3/8", "elapsed", "left", "psnr 21.5"):
        assert words in said(display)


def test_a_bar_counts_nothing_before_there_is_something_to_count():
    with Display(["search"], console=console(True)) as display:
        display._progress.refresh()
    assert "0/?" not in said(display)


def test_a_following_process_is_silent():
    with Display(["teach"], quiet=True, console=console(False)) as display:
        display.tell("teacher", 1, 1, {})
        display.on_stage("teach", {}, 1.0, False)
    assert said(display) == ""
