"""Concepts from Python: make, teach, probe, carry and export, as the commands `sfumato concept` and `promptset` do.

Names only; the work lies in `customize` and `workflows.personalize`. Start reading at `teach_concept`. A picture with a
concept is `sfumato.render(prompt, concept="NAME")`, in a region "NAME@left".
"""

from sfumato.customize.build import ConceptBuild, find_build, list_builds
from sfumato.customize.concept import ConceptFolder, find_concept, list_concepts
from sfumato.customize.create import NewConcept, create_concept
from sfumato.customize.export import ExportedConcept, ExportOptions, export_build
from sfumato.customize.memory.plan import MemoryPlan
from sfumato.customize.settings import ConceptSettings
from sfumato.workflows.personalize.ladder import ClimbedConcept, climb
from sfumato.workflows.personalize.masks import find_person_mask
from sfumato.workflows.personalize.probing import ProbeOptions, ProbeResult, probe
from sfumato.workflows.personalize.promptset import PromptSetCheck, check_prompts, lock_prompts, read_prompts
from sfumato.workflows.personalize.rebase import RebasedConcept, RebaseOptions, rebase
from sfumato.workflows.personalize.teach import TaughtConcept, TeachOptions, plan_teaching, teach_concept

__all__ = [
    "ClimbedConcept",
    "ConceptBuild",
    "ConceptFolder",
    "ConceptSettings",
    "ExportOptions",
    "ExportedConcept",
    "MemoryPlan",
    "NewConcept",
    "ProbeOptions",
    "ProbeResult",
    "PromptSetCheck",
    "RebaseOptions",
    "RebasedConcept",
    "TaughtConcept",
    "TeachOptions",
    "check_prompts",
    "climb",
    "create_concept",
    "export_build",
    "find_build",
    "find_concept",
    "find_person_mask",
    "list_builds",
    "list_concepts",
    "lock_prompts",
    "plan_teaching",
    "probe",
    "read_prompts",
    "rebase",
    "teach_concept",
]
