"""What a visitor may change, as far as it is known before it is tried; LinkAhead decides when it is."""

from __future__ import annotations

from linkahead.common.models import Container
from linkahead.exceptions import AuthorizationError, HTTPForbiddenError, LinkAheadException, TransactionError

from heartbrain_ingest.portal.visitors import Visitor

_SECONDS = 300.0


def may_change(visitor: Visitor) -> bool:
    """Say whether the visitor may insert anything at all.

    LinkAhead has no question for that but the attempt: an insertion of nothing, which whoever may only look is refused.
    """
    return visitor.cache.get("may change", _try, seconds=_SECONDS)


def _try() -> bool:
    try:
        Container().insert()
    except LinkAheadException as problem:
        return not is_refusal(problem)
    return True


def is_refusal(problem: BaseException | None) -> bool:
    """Say whether LinkAhead refused because of the visitor's rights."""
    while problem is not None:
        if isinstance(problem, (AuthorizationError, HTTPForbiddenError)):
            return True
        if isinstance(problem, TransactionError) and any(
            isinstance(one, AuthorizationError) for one in problem.all_errors
        ):
            return True
        problem = problem.__cause__
    return False
