"""A push, seen in a dry-run: nothing is pushed unasked."""

from typing import Any

from workshop import Workshop


def test_cards_are_part_of_a_study(finished: Workshop) -> None:
    cards = {path.parent.name: path for path in finished.results.glob("*/*/README.md")}
    made = [*finished.results.glob("datasets/*"), *finished.results.glob("students/*")]
    assert set(cards) == {path.name for path in made} and len(cards) == 14
    for path in cards.values():
        text = path.read_text(encoding="utf-8")
        assert text.startswith("---\n") and "A tiny study" in text
        assert str(finished.folder) not in text


def test_without_the_section_a_push_is_one_clear_error(workshop: Workshop) -> None:
    printed = workshop.run("--dry-run", "push", fails=True)
    assert printed.count("there is nothing to push: the study file has no section `publish`") == 1
    assert "most recent call" not in printed
    assert "push" not in {job.rule for job in workshop.plan()}


def test_what_is_pushed_is_what_the_section_names(workshop: Workshop) -> None:
    def publish(study: dict[str, Any]) -> None:
        study["publish"] = {"namespace": "me", "datasets": ["mtld-multi"]}

    workshop.edit_study(publish)
    jobs = workshop.plan("push")
    pushed = {job.name for job in jobs if job.rule.startswith("push")}
    students = {job.wildcards["student"] for job in jobs if job.rule == "finetune"}
    # Left out: all of them.
    assert pushed == {"push", "push_dataset mtld-multi"} | {f"push_student {s}" for s in students}
    assert len(students) == 7
    assert not {job.rule for job in workshop.plan()} & {"push", "push_dataset", "push_student"}


def test_a_name_that_the_study_does_not_have_is_told_before_any_job(workshop: Workshop) -> None:
    def publish(study: dict[str, Any]) -> None:
        study["publish"] = {"namespace": "me", "students": ["ant.mtld-multi.s2"]}

    workshop.edit_study(publish)
    printed = workshop.run("--dry-run", fails=True)
    assert "publish.students: this study has no ant.mtld-multi.s2. Known: " in printed
    assert "Traceback" not in printed
