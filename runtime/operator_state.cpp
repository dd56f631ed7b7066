#include "runtime/operator_state.hpp"

#include "state/incompatible_state.hpp"
#include "state/schema_evolution.hpp"

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

namespace {

/// The schema of one element: of a broadcast state a pair of map key and value.
Schema element_schema(const StateDeclaration& declaration) {
  if (declaration.kind != StateKind::operator_broadcast) return declaration.value;
  Schema pair{SchemaKind::structure, {}, {}, 0, declaration.value.children};
  for (std::size_t i = 0; i < pair.children.size(); ++i) pair.children[i].label = std::to_string(i);
  return pair;
}

/// How restored elements become those that the job declares.
Result<SchemaMigration> migration_between(const StateDeclaration& restored,
                                          const StateDeclaration& declared,
                                          const SchemaDefaults& defaults) {
  if (restored.kind == StateKind::operator_broadcast)
    WEIR_TRY(check_compatible(restored.value.children[0], declared.value.children[0]));
  return SchemaMigration::between(element_schema(restored), element_schema(declared), defaults);
}

}  // namespace

Result<std::vector<std::string>> OperatorStateStore::claim(const StateDeclaration& declaration,
                                                           const SchemaDefaults& defaults) {
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
                       std::string(enumerator_name(declaration.kind)) + incompatible_state_remedy);
    const auto migration = migration_between(state.declaration, declaration, defaults);
    if (!migration)
      return error(Errc::state_incompatible,
                   where + ": " + migration.error().what + incompatible_state_remedy);
    state.claimed = true;
    if (migration->changes_nothing()) return std::move(state.elements);
    for (std::string& element : state.elements) {
      ByteReader reader(element);
      std::string migrated;
      migration->migrate(reader, migrated);
      if (!reader.complete())
        return error(Errc::corruption, where + ": an element does not decode: it is damaged");
      element = std::move(migrated);
    }
    return std::move(state.elements);
  }
  return std::vector<std::string>{};
}

}  // namespace weir
