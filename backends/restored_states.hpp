#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "state/extents.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/table.hpp"

namespace weir {

/// The entries of one restored state, handed out piece by piece, ascending by key group.
/// Threads: the task's.
class RestoredEntries {
 public:
  /// One key group of a state, and who can read it.
  struct Extent {
    std::shared_ptr<SnapshotSource> source;
    KeyGroupExtent group;
  };
  /// `what` names operator and state for error sentences.
  RestoredEntries(std::string what, std::size_t key_width, std::vector<Extent> extents)
      : what_(std::move(what)), key_width_(key_width), extents_(std::move(extents)) {}

  /// Whether everything was handed out, and found to be what was written.
  [[nodiscard]] bool done() const { return next_ == extents_.size(); }
  /// The key group that `next` goes on with. Requires `!done()`.
  [[nodiscard]] const KeyGroupExtent& group() const { return extents_[next_].group; }
  /// Whether nothing of `group()` has been handed out yet.
  [[nodiscard]] bool at_group_begin() const { return !reader_; }
  /// Passes the next piece, entries of `group()`, to `take`. Requires `!done()`. Errors: as
  /// `ExtentReader::next`, and those of `take` with operator, state and source put before.
  [[nodiscard]] Status next(const std::function<Status(std::span<const EntryView>)>& take);

 private:
  std::string what_;
  std::size_t key_width_;
  std::vector<Extent> extents_;
  std::size_t next_ = 0;
  std::unique_ptr<ExtentReader> reader_;  // of `extents_[next_]`, once it is begun
};

/// The restored states of one operator that wait for the job to declare them.
/// Threads: the task's.
class RestoredStates {
 public:
  /// `operator_label` is what error sentences begin with.
  RestoredStates(std::string operator_label, std::size_t key_width)
      : operator_label_(std::move(operator_label)), key_width_(key_width) {}

  void set(std::vector<RestoredKeyedState> states) { states_ = std::move(states); }
  /// Names of the states that nobody has claimed.
  [[nodiscard]] std::vector<std::string> names() const;

  /// Takes the state that `declaration` names: its entries within `groups`; none if it was not restored.
  /// Errors: `state_incompatible` if kind, key or value differ, naming operator, state and the first
  /// field that does; `corruption` if a key group comes twice.
  [[nodiscard]] Result<RestoredEntries> claim(const StateDeclaration& declaration,
                                              KeyGroupRange groups);

 private:
  [[nodiscard]] Status check(const StateDeclaration& restored,
                             const StateDeclaration& declared) const;

  std::string operator_label_;
  std::size_t key_width_;
  std::vector<RestoredKeyedState> states_;
};

}  // namespace weir
