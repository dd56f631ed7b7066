#include "runtime/task_operator_context.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/caught_calls.hpp"
#include "runtime/name_list.hpp"
#include "state/schema_evolution.hpp"

namespace weir {

namespace {

const StateDeclaration* find_declaration(const OperatorRestore& restore, const std::string& state) {
  for (const StateDeclaration& declaration : restore.states)
    if (declaration.name == state) return &declaration;
  WEIR_ASSERT(!"the state assignment gives every state its declaration");
}

}  // namespace

TaskOperatorContext::TaskOperatorContext(const TaskEnvironment& environment, std::size_t index,
                                         const std::string& label,
                                         const OperatorDescription& description,
                                         Attention attention)
    : environment_(environment),
      index_(index),
      label_(label),
      description_(description),
      attention_(std::move(attention)),
      operator_state_(label) {}

// ---- restoring ------------------------------------------------------------------------------------

const OperatorRestore* TaskOperatorContext::restored() const {
  if (!environment_.restore) return nullptr;
  for (const OperatorRestore& restore : environment_.restore->operators)
    if (restore.uid == description_.uid) return &restore;
  return nullptr;
}

Status TaskOperatorContext::restore_operator_state() {
  const OperatorRestore* restore = restored();
  if (restore == nullptr) return {};
  std::vector<OperatorStateStore::Restored> states;
  for (const OperatorStateRestore& part : restore->operator_states) {
    WEIR_TRY_ASSIGN(elements, read_elements(part));
    const StateDeclaration* declaration = find_declaration(*restore, part.handle.state);
    const auto known = std::ranges::find(states, part.handle.state,
                                         [](const auto& state) { return state.declaration.name; });
    if (known == states.end()) {
      states.push_back({*declaration, std::move(elements), false});
    } else {
      std::ranges::move(elements, std::back_inserter(known->elements));
    }
  }
  operator_state_.restore(std::move(states));
  return {};
}

Result<KeyedStateBackend*> TaskOperatorContext::keyed_state(std::size_t key_width) {
  if (keyed_) return keyed_.get();
  const TaskEnvironment& env = environment_;
  KeyedStateBackendContext context;
  context.operator_label = label();
  context.key_width = key_width;
  context.groups =
      key_group_range(subtask(), description_.parallelism, description_.max_parallelism);
  context.max_parallelism = description_.max_parallelism;
  context.local_directory = env.local_directory + "/op-" + std::to_string(index_);
  context.files = env.files;
  if (restored() != nullptr && env.restore->job == env.job)
    context.restored_checkpoint = env.restore->checkpoint;
  const UnheardCalls unheard;  // a database starts threads and reads the clock
  auto made = env.backend->create_keyed_state_backend(context);
  if (!made) return error(made.error().code, label() + ": " + made.error().what);
  std::unique_ptr<KeyedStateBackend> backend = std::move(*made);
  if (const OperatorRestore* restore = restored()) {
    WEIR_TRY_ASSIGN(states, restored_keyed_states(*restore));
    WEIR_TRY(backend->restore(std::move(states)));
  }
  keyed_ = std::move(backend);
  return keyed_.get();
}

Status TaskOperatorContext::check_claims() {
  WEIR_TRY(check_names());
  sources_.clear();
  WEIR_TRY(check_unclaimed());
  return check_dropped_fields();
}

void TaskOperatorContext::warn(const std::string& text) {
  environment_.listener->on_warning(label() + ": " + text);
}

/// Fields that the job's types lack are dropped with a word; what may be a new name of one only if the user
/// allows it.
Status TaskOperatorContext::check_dropped_fields() {
  const OperatorRestore* restore = restored();
  if (restore == nullptr) return {};
  std::vector<StateDeclaration> declared = operator_state_.declarations();
  if (keyed_) std::ranges::move(keyed_->declarations(), std::back_inserter(declared));
  for (const StateDeclaration& state : declared) {
    const auto old = std::ranges::find(restore->states, state.name, &StateDeclaration::name);
    if (old == restore->states.end()) continue;
    for (const DroppedField& field : dropped_fields(old->value, state.value)) {
      const std::string place = "state '" + state.name + "': the snapshot has a field '" +
                                field.path + "', which the job's type lacks";
      if (!field.renamed_to.empty() && !environment_.allow_non_restored_state) {
        return error(Errc::state_incompatible,
                     label() + ", " + place + ", while '" + field.renamed_to +
                         "' of the same type is new: a field under a new name loses its values; "
                         "keep the old name, or start with --allowNonRestoredState to drop them");
      }
      if (subtask() == 0) warn(place + ": its values are dropped");
    }
  }
  return {};
}

/// Restored states that the operator did not ask for are an error unless the user allows it.
Status TaskOperatorContext::check_unclaimed() const {
  std::vector<std::string> names = operator_state_.unclaimed_states();
  if (keyed_)
    std::ranges::move(keyed_->unclaimed_states(), std::back_inserter(names));
  else if (const OperatorRestore* restore = restored())
    for (const KeyedStateHandle& handle : restore->keyed) names.push_back(handle.state);
  if (names.empty()) return {};
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  const bool one = names.size() == 1;
  for (std::string& name : names) name = "'" + name + "'";
  if (environment_.allow_non_restored_state) {
    environment_.listener->on_warning(label() + ", subtask " + std::to_string(subtask()) +
                                      ": the snapshot has " + (one ? "the state " : "the states ") +
                                      name_list(names) + ", which the job does not use: skipped");
    return {};
  }
  return error(Errc::state_incompatible,
               label() + ": the snapshot has " + (one ? "a state " : "states ") + name_list(names) +
                   " that the job does not use; keep " + (one ? "it" : "them") +
                   " in the job, or start with "
                   "--allowNonRestoredState to drop " +
                   (one ? "it" : "them"));
}

/// A snapshot finds a state by its name alone.
Status TaskOperatorContext::check_names() const {
  if (!keyed_) return {};
  const auto of_operator = operator_state_.declarations();
  for (const StateDeclaration& keyed : keyed_->declarations())
    if (std::ranges::find(of_operator, keyed.name, &StateDeclaration::name) != of_operator.end())
      return error(Errc::already_exists,
                   label() + ", state '" + keyed.name +
                       "': the name is used twice; give each state of an operator its own");
  return {};
}

Result<bool> TaskOperatorContext::load_restored() {
  if (!keyed_) return true;
  return keyed_->load_restored();
}

Result<std::shared_ptr<SnapshotSource>> TaskOperatorContext::source_of(std::uint32_t location) {
  auto& source = sources_[location];
  if (!source) {
    const TaskRestore& restore = *environment_.restore;
    auto opened =
        make_source(*environment_.storage, restore.directory, restore.locations[location]);
    if (!opened && opened.error().code == Errc::not_found)
      return error(Errc::not_found,
                   opened.error().what +
                       ": the snapshot that the job starts from has lost a file; if it is a "
                       "checkpoint of a job that runs, that has replaced it by a newer one: start "
                       "from that, or from a savepoint, which nobody deletes");
    if (!opened) return std::unexpected(opened.error());
    source = std::move(*opened);
  }
  return source;
}

Result<std::vector<RestoredKeyedState>> TaskOperatorContext::restored_keyed_states(
    const OperatorRestore& restore) {
  std::vector<RestoredKeyedState> states;
  for (const KeyedStateHandle& handle : restore.keyed) {
    auto known = std::ranges::find(states, handle.state,
                                   [](const auto& state) { return state.declaration.name; });
    if (known == states.end()) {
      states.push_back({*find_declaration(restore, handle.state), {}});
      known = states.end() - 1;
    }
    WEIR_TRY_ASSIGN(source, source_of(handle.location));
    known->parts.push_back({std::move(source), handle.groups, handle.format, handle.sequence,
                            environment_.restore->locations[handle.location]});
  }
  return states;
}

Result<std::vector<std::string>> TaskOperatorContext::read_elements(
    const OperatorStateRestore& part) {
  const OperatorStateHandle& handle = part.handle;
  WEIR_TRY_ASSIGN(source, source_of(handle.location));
  WEIR_TRY_ASSIGN(bytes, source->read(handle.offset, handle.length));
  if (hash_bytes(bytes) != handle.checksum)
    return error(Errc::corruption, source->name() + ", offset " + std::to_string(handle.offset) +
                                       ": state '" + handle.state +
                                       "' does not match its checksum");
  std::vector<std::string> elements;
  for (const std::uint32_t index : part.assigned) {
    const std::uint64_t begin = handle.elements[index];
    const std::uint64_t end =
        index + 1 < handle.elements.size() ? handle.elements[index + 1] : handle.length;
    elements.push_back(bytes.substr(begin, end - begin));
  }
  return elements;
}

// ---- freezing -------------------------------------------------------------------------------------

Result<FrozenOperator> TaskOperatorContext::freeze(const CheckpointBarrier& barrier,
                                                   bool finished) {
  FrozenOperator frozen;
  frozen.uid = description_.uid;
  frozen.label = label();
  frozen.subtask = subtask();
  frozen.finished = finished;
  frozen.states = operator_state_.declarations();
  frozen.operator_states = operator_state_.freeze();
  // Nobody reads the keyed state of an operator that will not run again; a savepoint keeps it for
  // people and tools.
  const bool dead = finished && barrier.options.kind == SnapshotKind::checkpoint;
  if (keyed_ && !dead) {
    std::ranges::move(keyed_->declarations(), std::back_inserter(frozen.states));
    WEIR_TRY_ASSIGN(
        task, keyed_->begin_snapshot({barrier.id, barrier.options.base, barrier.options.form}));
    frozen.keyed = std::move(task);
  }
  return frozen;
}

}  // namespace weir
