#include "runtime/operator_state.hpp"

namespace weir {

std::vector<OperatorStateStore::Frozen> OperatorStateStore::freeze() const {
  std::vector<Frozen> result;
  for (const Entry& entry : states_) {
    Frozen& frozen = result.emplace_back();
    frozen.state = entry.declaration.name;
    entry.freeze(frozen);
  }
  return result;
}

std::vector<StateDeclaration> OperatorStateStore::declarations() const {
  std::vector<StateDeclaration> result;
  for (const Entry& entry : states_) result.push_back(entry.declaration);
  return result;
}

std::vector<std::string> OperatorStateStore::unclaimed_states() const {
  std::vector<std::string> names;
  for (const Restored& state : restored_)
    if (!state.claimed) names.push_back(state.declaration.name);
  return names;
}

Result<std::vector<std::string>> OperatorStateStore::claim(const StateDeclaration& declaration) {
  const std::string where = label_ + ", state '" + declaration.name + "'";
  for (const Entry& entry : states_)
    if (entry.declaration.name == declaration.name)
      return error(Errc::already_exists,
                   where + ": the name is used twice; give each state of an operator its own");
  for (Restored& state : restored_) {
    if (state.declaration.name != declaration.name) continue;
    if (state.declaration.kind != declaration.kind)
      return error(Errc::state_incompatible,
                   where + ": the snapshot has it as " +
                       std::string(enumerator_name(state.declaration.kind)) + ", the job as " +
                       std::string(enumerator_name(declaration.kind)));
    if (auto fits = check_compatible(state.declaration.value, declaration.value); !fits)
      return error(Errc::state_incompatible, where + ": " + fits.error().what);
    state.claimed = true;
    return std::move(state.elements);
  }
  return std::vector<std::string>{};
}

}  // namespace weir
