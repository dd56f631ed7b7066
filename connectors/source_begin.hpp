#pragma once

#include "runtime/operator.hpp"

namespace weir {

/// Whether a source begins anew: the job started without a snapshot, or from one that does not know
/// this operator. Otherwise it owns exactly what its states hold, which after a change of
/// parallelism may be nothing. Registers the union state `begun`, which is how the next attempt
/// knows. Call once, in `open`:
///
///   WEIR_TRY_ASSIGN(begins, source_begins(context));
///   if (begins) left_ = 3;
///
/// Errors: those of `list_state`.
[[nodiscard]] Result<bool> source_begins(OperatorContext& context);

/// For sources that cannot be shared out. Errors: `invalid_argument` unless the parallelism is 1.
[[nodiscard]] Status require_one_subtask(const OperatorContext& context, std::string_view what);

}  // namespace weir
