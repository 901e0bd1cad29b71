"""What is proposed to the registry, and by what it is to be judged."""

from dataclasses import dataclass

from pipeline_config.experiment import Promotion
from tasks.records import EvaluatedModel, Manifest
from tasks.tracking import RunTags


@dataclass(frozen=True)
class Proposal:
    """A challenger and its gates.

    Attributes:
        challenger: an evaluated model.
        promotion: its gates; in the mode `dry_run` nothing is registered or moved, in `approval` a person is asked.
        tags: of the pipeline; `flow_run_id` of who promotes.
        pipeline_run_id: the run that the record is shown below, or None.
        images: the challenger's data, for a champion that was evaluated on other test rows; or why there are none.
        why: this model was chosen, in a sentence that the verdict takes over; or empty.
    """

    challenger: EvaluatedModel
    promotion: Promotion
    tags: RunTags
    pipeline_run_id: str | None
    images: Manifest | str = "its images were not looked for"
    why: str = ""

    @property
    def name(self) -> str:
        """Of the registered model, which is the experiment's."""
        return self.tags.experiment

    def with_reason(self, detail: str) -> str:
        """A decision's sentence, and why this model was proposed."""
        return "; ".join(filter(None, (detail, self.why)))
