#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulation/scenario/scenario_report.hpp"
#include "simulation/scenario/scenario_world.hpp"

namespace weir {

/// Whether `message` is one that `pattern` means.
[[nodiscard]] bool matches(const MessagePattern& pattern, const SeenMessage& message);

/// Carries a scenario out in a world and says what came of it: one step after the other, then the
/// expectations at the end. The first step that fails ends the run; of expectations all are looked at.
/// Threads: one.
class ScenarioRunner {
 public:
  /// `scenario` outlives the runner. `make_world` is called for the scenario, and once more if an
  /// expectation compares its output with that of a run without faults.
  ScenarioRunner(const Scenario& scenario, MakeScenarioWorld make_world);
  ~ScenarioRunner();

  /// Once. Errors, which say that there was no run: `unsupported`, with the place of a step that the world
  /// cannot do; those of `ScenarioWorld::begin`.
  [[nodiscard]] Result<ScenarioReport> run();

 private:
  /// A snapshot that a step has taken.
  struct Taken {
    std::string directory;
    std::uint64_t checkpoint = 0;
    std::string job;
    std::size_t first_message = 0;  ///< of those that were delivered while the step asked for it
    std::size_t end_message = 0;
  };
  /// A request in the background.
  struct Pending {
    ScenarioWorld::RequestId id = 0;
    Asking asking;
    std::string name;
    std::string text;
    std::size_t first_message = 0;
  };
  /// What an expectation compares.
  struct Comparison {
    bool equal = false;
    std::string expected;
    std::string found;
  };

  /// Lets the world move until `done`, for `limit` at most and no longer than the scenario may take. `what`
  /// says what is waited for.
  [[nodiscard]] Status await(const std::function<Result<bool>()>& done,
                             std::optional<std::chrono::milliseconds> limit,
                             const std::string& what, bool ends_with_job);
  [[nodiscard]] Status let_pass(std::chrono::milliseconds time);
  [[nodiscard]] Status do_step(const Step& step);
  [[nodiscard]] Status ask(const WorldRequest& request, const Asking& asking,
                           const std::string& name, const Step& step);
  [[nodiscard]] Status settle(const Pending& pending, const Result<WorldAnswer>& answer);
  /// Waits for the answers of all steps in the background, or of that with the name.
  [[nodiscard]] Status await_answers(const std::string* name,
                                     std::optional<std::chrono::milliseconds> limit);
  [[nodiscard]] Result<std::string> directory_of(const std::string& snapshot);
  [[nodiscard]] Result<Taken> taken(const std::string& snapshot);
  [[nodiscard]] Result<std::vector<std::string>> fault_free_output();

  ExpectationReport look_at(const Expectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const OutputExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const StateExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const MessagesExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const MessageCountExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const DeclinedExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const JobExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const CheckpointsExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const SnapshotExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const ToldExpectation& expectation);
  [[nodiscard]] Result<Comparison> compare(const FilesExpectation& expectation);
  /// `what` says what was counted, such as ` of 'StartTask'`.
  [[nodiscard]] static Comparison compare_count(std::uint64_t count,
                                                std::optional<std::uint64_t> exactly,
                                                std::optional<std::uint64_t> least,
                                                std::optional<std::uint64_t> most,
                                                const std::string& what, const std::string& found);
  [[nodiscard]] Result<Comparison> compare(const WithinExpectation& expectation);
  /// The messages that belong to the snapshot `of`, or all if it is empty.
  [[nodiscard]] Result<std::vector<const SeenMessage*>> messages_of(const std::string& of);

  const Scenario& scenario_;
  const MakeScenarioWorld make_world_;
  std::unique_ptr<ScenarioWorld> world_;
  ScenarioReport report_;
  std::map<std::string, Taken> taken_;
  std::vector<Pending> pending_;
  std::size_t run_first_message_ = 0;  ///< of the newest run of the job
  std::optional<std::vector<std::string>> fault_free_output_;
};

}  // namespace weir
