#include "actors/state_assignment.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "runtime/name_list.hpp"
#include "runtime/operator_label.hpp"
#include "state/codec.hpp"
#include "state/incompatible_state.hpp"
#include "state/key_groups.hpp"
#include "state/schema_evolution.hpp"

namespace weir {

namespace {

/// Whether anything would be lost without it.
bool has_state(const OperatorSnapshot& snapshot) {
  return std::ranges::any_of(snapshot.subtasks, [](const OperatorSubtaskSnapshot& subtask) {
    const bool elements = std::ranges::any_of(
        subtask.operator_states, [](const auto& handle) { return !handle.elements.empty(); });
    const bool entries = std::ranges::any_of(
        subtask.keyed, [](const auto& handle) { return !handle.groups.empty(); });
    return elements || entries || !subtask.channels.empty();
  });
}

bool has_keyed_state(const OperatorSnapshot& snapshot) {
  return std::ranges::any_of(snapshot.states,
                             [](const auto& state) { return is_keyed(state.kind); });
}

const StateDeclaration* find_state(const std::vector<StateDeclaration>& states,
                                   const std::string& name) {
  const auto found = std::ranges::find(states, name, &StateDeclaration::name);
  return found == states.end() ? nullptr : &*found;
}

// ---- Does the snapshot fit the job? -------------------------------------------------------------

/// Finds all state that no operator of the job would take over.
Status check_nothing_lost(const SnapshotMetadata& snapshot, const PlanDescription& plan,
                          bool allow_non_restored, std::vector<std::string>& warnings) {
  std::vector<std::string> lost;
  for (const auto& old : snapshot.operators) {
    if (!has_state(old)) continue;
    const auto found = std::ranges::find(plan.operators, old.uid, &OperatorDescription::uid);
    if (found != plan.operators.end() && found->stateful) continue;
    lost.push_back(operator_label(old) + (found == plan.operators.end()
                                              ? ", which the job lacks"
                                              : ", which keeps none in the job"));
    if (allow_non_restored)
      warnings.push_back("the snapshot has state of " + lost.back() + ": it was skipped");
  }
  if (lost.empty() || allow_non_restored) return {};
  return error(Errc::state_incompatible,
               "the snapshot has state of " + name_list(lost) +
                   (lost.size() == 1
                        ? ": give that uid to the operator that takes it over, or skip it with -n"
                        : ": give those uids to the operators that take it over, or skip it with "
                          "-n"));
}

/// Key groups are how keyed state is cut: their number is part of the state.
Status adopt_max_parallelism(const OperatorSnapshot& old, OperatorDescription& description) {
  if (!has_keyed_state(old)) return {};
  const std::string groups = std::to_string(old.max_parallelism);
  if (description.max_parallelism_set && description.max_parallelism != old.max_parallelism) {
    return error(Errc::state_incompatible, operator_label(old) + " sets maximum parallelism " +
                                               std::to_string(description.max_parallelism) +
                                               ", its snapshot has " + groups + ": set " + groups +
                                               " or leave it out");
  }
  if (description.parallelism > old.max_parallelism) {
    return error(Errc::state_incompatible, operator_label(old) + " runs with parallelism " +
                                               std::to_string(description.parallelism) +
                                               ", its snapshot has maximum parallelism " + groups +
                                               ": run it with at most " + groups);
  }
  description.max_parallelism = old.max_parallelism;
  return {};
}

/// Compares a state that the job declares before it runs with what the snapshot holds. States that
/// a function registers only when it is opened are compared there.
Status check_declared(const OperatorSnapshot& owner, const StateDeclaration& old,
                      const StateDeclaration& declared) {
  const std::string place = operator_label(owner) + ", state '" + old.name + "': ";
  const std::string mend = incompatible_state_remedy;
  if (old.kind != declared.kind) {
    return error(Errc::state_incompatible,
                 place + "its kind is " + std::string(enumerator_name(old.kind)) +
                     " in the snapshot and " + std::string(enumerator_name(declared.kind)) +
                     " in the job" + mend);
  }
  if (old.key && declared.key) {
    if (const auto fits = check_compatible(*old.key, *declared.key); !fits)
      return error(Errc::state_incompatible,
                   place + "its key: " + fits.error().what + incompatible_key_remedy);
  }
  if (const auto fits = check_readable(old.value, declared.value); !fits)
    return error(Errc::state_incompatible, place + "its value: " + fits.error().what + mend);
  return {};
}

Status fit_operator(const OperatorSnapshot& old, OperatorDescription& description) {
  for (const auto& subtask : old.subtasks) {
    if (subtask.channels.empty()) continue;
    return error(Errc::unsupported,
                 operator_label(old) + " has records on their way in the snapshot, which " +
                     "this version cannot restore: restore an aligned checkpoint or a savepoint");
  }
  WEIR_TRY(adopt_max_parallelism(old, description));
  for (const auto& declared : description.states) {
    if (const auto* state = find_state(old.states, declared.name))
      WEIR_TRY(check_declared(old, *state, declared));
  }
  return {};
}

// ---- Who gets what? -----------------------------------------------------------------------------

/// What one operator's subtasks start from; `location` indices count within the snapshot's
/// locations.
using Shares = std::vector<OperatorRestore>;

/// Whether a subtask's keyed state is still of use. A subtask that had finished has emitted
/// everything: if its key groups go to subtasks that run again, their end of input would emit it
/// twice.
bool is_keyed_state_alive(const OperatorSubtaskSnapshot& subtask, const Shares& shares) {
  return !subtask.finished || std::ranges::any_of(shares, &OperatorRestore::finished);
}

void deal_keyed_state(const OperatorSnapshot& old, std::uint32_t max_parallelism, Shares& shares) {
  const auto parallelism = static_cast<std::uint32_t>(shares.size());
  for (const auto& subtask : old.subtasks) {
    if (!is_keyed_state_alive(subtask, shares)) continue;
    const auto owned = key_group_range(subtask.subtask, old.parallelism, max_parallelism);
    for (const auto& handle : subtask.keyed) {
      for (std::uint32_t i = 0; i < parallelism; ++i) {
        const auto range = key_group_range(i, parallelism, max_parallelism);
        if (handle.format == StateFormat::files) {
          // Entries of all key groups lie in the same files, which only their reader can tell apart.
          const bool meets = owned.first < range.end && range.first < owned.end;
          if (meets && !handle.groups.empty()) shares[i].keyed.push_back(handle);
          continue;
        }
        KeyedStateHandle cut{handle.state, handle.location, {}, handle.format, handle.sequence};
        std::ranges::copy_if(handle.groups, std::back_inserter(cut.groups),
                             [&](const auto& extent) { return range.contains(extent.group); });
        if (!cut.groups.empty()) shares[i].keyed.push_back(std::move(cut));
      }
    }
  }
}

std::vector<std::uint32_t> all_elements(const OperatorStateHandle& handle) {
  std::vector<std::uint32_t> indices(handle.elements.size());
  std::iota(indices.begin(), indices.end(), 0U);
  return indices;
}

/// Every `count`-th element, so that element number `first + k` of the whole state falls to subtask
/// `(first + k) % count`.
std::vector<std::uint32_t> elements_of(const OperatorStateHandle& handle, std::uint64_t first,
                                       std::uint32_t subtask, std::size_t count) {
  std::vector<std::uint32_t> indices;
  for (std::uint32_t k = 0; k < handle.elements.size(); ++k) {
    if ((first + k) % count == subtask) indices.push_back(k);
  }
  return indices;
}

Status deal_operator_state(const OperatorSnapshot& old, Shares& shares) {
  const bool same_parallelism = old.subtasks.size() == shares.size();
  std::map<std::string, std::uint64_t> dealt;  // elements of each state so far
  for (const auto& subtask : old.subtasks) {
    for (const auto& handle : subtask.operator_states) {
      const auto* declaration = find_state(old.states, handle.state);
      if (declaration == nullptr || is_keyed(declaration->kind)) {
        return error(Errc::corruption, operator_label(old) + ", state '" + handle.state +
                                           "': the snapshot does not declare it");
      }
      const bool to_all = declaration->kind == StateKind::operator_union;
      const bool is_copy = declaration->kind == StateKind::operator_broadcast;
      auto& first = dealt[handle.state];
      for (std::uint32_t i = 0; i < shares.size(); ++i) {
        std::vector<std::uint32_t> assigned;
        if (is_copy ? i % old.subtasks.size() == subtask.subtask
                    : to_all || (same_parallelism && i == subtask.subtask)) {
          assigned = all_elements(handle);
        } else if (is_copy) {
          continue;  // all copies are alike, and each subtask takes one
        } else if (!same_parallelism) {
          assigned = elements_of(handle, first, i, shares.size());
        }
        if (!assigned.empty()) shares[i].operator_states.push_back({handle, std::move(assigned)});
      }
      first += handle.elements.size();
    }
  }
  return {};
}

Result<Shares> deal_operator(const OperatorSnapshot& old, const OperatorDescription& description) {
  const bool same_parallelism = old.subtasks.size() == description.parallelism;
  Shares shares(description.parallelism);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    shares[i].uid = old.uid;
    shares[i].states = old.states;
    shares[i].finished = old.finished() || (same_parallelism && old.subtasks[i].finished);
  }
  deal_keyed_state(old, description.max_parallelism, shares);
  WEIR_TRY(deal_operator_state(old, shares));
  return shares;
}

/// Leaves only the locations that the task's handles name, in their order, and numbers them anew.
void compact_locations(const std::vector<DataLocation>& all, TaskRestore& task) {
  std::map<std::uint32_t, std::uint32_t> numbers;
  const auto for_each_location = [&](const auto& visit) {
    for (auto& restore : task.operators) {
      for (auto& handle : restore.keyed) visit(handle.location);
      for (auto& state : restore.operator_states) visit(state.handle.location);
    }
  };
  for_each_location([&](std::uint32_t location) { numbers.emplace(location, 0); });
  for (auto& [location, number] : numbers) {
    number = static_cast<std::uint32_t>(task.locations.size());
    task.locations.push_back(all[location]);
  }
  for_each_location([&](std::uint32_t& location) { location = numbers.at(location); });
}

}  // namespace

Result<StateAssignment> assign_state(const SnapshotMetadata& snapshot, const std::string& directory,
                                     PlanDescription plan, const JobGraph& graph,
                                     bool allow_non_restored) {
  StateAssignment assignment;
  // From here on every name, index and extent fits, even if the snapshot was never in a file.
  WEIR_TRY(check_consistent(snapshot));
  WEIR_TRY(check_nothing_lost(snapshot, plan, allow_non_restored, assignment.warnings));
  for (auto& description : plan.operators) {
    if (const auto* old = snapshot.find(description.uid)) {
      if (description.stateful || !has_state(*old)) WEIR_TRY(fit_operator(*old, description));
    } else if (description.stateful) {
      assignment.warnings.push_back(operator_label(description) +
                                    " is not in the snapshot: it starts without state");
    }
  }
  for (const auto& vertex : graph.vertices) {
    std::vector<TaskRestore> tasks(
        vertex.parallelism, TaskRestore{snapshot.checkpoint, snapshot.job, directory, {}, {}});
    for (const auto index : vertex.operators) {
      const auto& description = plan.operators[index];
      const auto* old = snapshot.find(description.uid);
      if (old == nullptr || (!description.stateful && has_state(*old))) continue;
      WEIR_TRY_ASSIGN(shares, deal_operator(*old, description));
      for (std::uint32_t i = 0; i < vertex.parallelism; ++i)
        tasks[i].operators.push_back(std::move(shares[i]));
    }
    for (auto& task : tasks) compact_locations(snapshot.locations, task);
    assignment.tasks.push_back(std::move(tasks));
  }
  assignment.plan = std::move(plan);
  return assignment;
}

}  // namespace weir
