#pragma once

#include <string>
#include <vector>

#include "state/extents.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/table.hpp"

namespace weir {

/// The restored states of one operator that wait for the job to declare them.
/// Threads: the task's.
class RestoredStates {
 public:
  /// `operator_uid` is for error sentences.
  RestoredStates(std::string operator_uid, std::size_t key_width)
      : operator_uid_(std::move(operator_uid)), key_width_(key_width) {}

  void set(std::vector<RestoredKeyedState> states) { states_ = std::move(states); }
  /// Names of the states that nobody has claimed.
  [[nodiscard]] std::vector<std::string> names() const;

  /// One key group of a claimed state, and who can read it.
  struct Extent {
    std::shared_ptr<SnapshotSource> source;
    KeyGroupExtent group;
  };
  /// Takes the state that `declaration` names: its extents within `groups`, ascending by key group; none
  /// if it was not restored. Errors: `state_incompatible` if kind, key or value differ, naming operator, state and
  /// the first field that does; `corruption` if a key group comes twice.
  [[nodiscard]] Result<std::vector<Extent>> claim(const StateDeclaration& declaration,
                                                  KeyGroupRange groups);
  /// Reads `extent` of the state `name` and calls `visit` for each entry. Errors: as `read_extent`, and
  /// those of `visit` with operator, state and source put before.
  [[nodiscard]] Status read(const std::string& name, const Extent& extent,
                            const EntryVisitor& visit) const;

 private:
  [[nodiscard]] Status check(const StateDeclaration& restored,
                             const StateDeclaration& declared) const;

  std::string operator_uid_;
  std::size_t key_width_;
  std::vector<RestoredKeyedState> states_;
};

}  // namespace weir
