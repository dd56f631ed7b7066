#include "connectors/source_begin.hpp"

namespace weir {

Result<bool> source_begins(OperatorContext& context) {
  WEIR_TRY_ASSIGN(
      begun, context.operator_state().list_state<std::uint8_t>("begun", StateKind::operator_union));
  const bool begins = begun->get().empty();
  begun->update({1});
  return begins;
}

Status require_one_subtask(const OperatorContext& context, std::string_view what) {
  if (context.parallelism() == 1) return {};
  return error(Errc::invalid_argument, context.label() + ": " + std::string(what) +
                                           " is read by one subtask: set_parallelism(1), it is " +
                                           std::to_string(context.parallelism()));
}

}  // namespace weir
