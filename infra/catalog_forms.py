"""What forms name and the catalogue does not have: instruments, code lists, alerts, groups, questions."""

from collections.abc import Iterator

from domain.programs.form import Form, FormScore, Question, QuestionType
from domain.programs.instrument import Instrument, Item
from domain.programs.program import Program
from domain.programs.rulebook import Rulebook


def lost_in_forms(rulebook: Rulebook) -> Iterator[str]:
    """What is wrong with forms by themselves, a line each."""
    tools = {(tool.name, tool.version): tool for tool in rulebook.instruments}
    lists = {codes.name for codes in rulebook.code_lists}
    groups = {group for program in rulebook.programs for group in program.target_groups}
    for form in rulebook.forms:
        for score in form.scores:
            tool = tools.get((score.instrument, score.version))
            if tool is None:
                yield f"{form.id}.yaml: there is no instrument {score.instrument} {score.version}"
            else:
                yield from (f"{form.id}.yaml: {fault}" for fault in _wrong_score(form, score, tool))
        for question in form.questions:
            if question.type is QuestionType.CODE and question.codes not in {None, *lists}:
                yield f"{form.id}.yaml: {question.link}: there is no code list {question.codes}"
            if unknown := sorted({*question.groups} - groups):
                yield f"{form.id}.yaml: {question.link}: no programme has the target group {', '.join(unknown)}"


def _wrong_score(form: Form, score: FormScore, tool: Instrument) -> Iterator[str]:
    items = {item.key: item for item in (*tool.attributes, *tool.items)}
    if lost := sorted({*score.items} - {*items}):
        yield f"{tool.name} {tool.version} has no item {', '.join(lost)}"
    asked = {item.key for item in tool.items if not item.optional and not item.asked}
    if left := sorted(asked - {*score.items}):
        yield f"{tool.name} {tool.version} has no total without {', '.join(left)}: ask that too"
    for key, link in score.items.items():
        question, item = form.question(link), items.get(key)
        if question is not None and item is not None and not _fits(question, item):
            yield f"{link}: its answers are none of {tool.name} {key}, which takes {item.takes}"


def _fits(question: Question, item: Item) -> bool:
    """Whether every answer that the question takes is one of the item."""
    if question.type is QuestionType.YES_NO:
        return {"yes", "no"} <= {*item.answers}
    if question.type is QuestionType.CHOICE and item.answers:
        return {*question.options} <= {*item.answers}
    if question.type is QuestionType.CHOICE:
        return all(option.isdecimal() and item.accepts(int(option)) for option in question.options)
    if question.type is QuestionType.MANY:
        return item.many and {*question.options} <= {*item.answers}
    if question.type is not QuestionType.NUMBER or item.answers or question.low is None or question.high is None:
        return False
    whole = question.whole or not item.whole
    return whole and (item.low or 0) <= question.low and question.high <= (item.high or 0)


def lost_in_sections(program: Program, rulebook: Rulebook) -> Iterator[str]:
    """What a programme's sections, and their forms, name and the programme does not have."""
    forms = {form.id: form for form in rulebook.forms}
    for section in program.sections:
        form = forms.get(section.form or "")
        if section.form is not None and form is None:
            yield f"sections.{section.name}: there is no form {section.form}"
            continue
        links = {question.link for question in form.questions} if form else set()
        if lost := sorted({*section.requires} - links):
            yield f"sections.{section.name}: its form does not ask {', '.join(lost)}"
        for alert in form.alerts if form else ():
            if alert.name not in program.alerts:
                yield f"sections.{section.name}: the programme has no alert {alert.name} of {section.form}"
