#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "simulation/scenario/scenario_world.hpp"

namespace weir::test {

/// A world in which happens what a test says, one thing at each `advance` of 10 ms.
class FakeWorld final : public ScenarioWorld {
 public:
  /// What a test sets before, and looks at behind a run. It outlives the world.
  struct Script {
    std::vector<std::function<void(FakeWorld&)>> events;
    std::map<std::string, Result<WorldAnswer>> answers;  ///< by the word of the request
    std::map<std::string, int> late;                     ///< how many `advance` an answer takes
    std::string cannot;                                  ///< the text of a step that is unsupported
    std::map<std::string, Result<SnapshotValues>> snapshots;
    std::string latest;
    std::vector<std::string> seen;  ///< requests and faults, in order
    int worlds = 0;
    SeenJob job;
    std::vector<std::string> output;
    std::vector<std::string> files;
    std::string told;
  };
  explicit FakeWorld(Script& script) : script_(script) { ++script.worlds; }

  Status check(const Step& step) const override {
    if (step.text == script_.cannot)
      return error(Errc::unsupported, "this world has no such thing");
    return {};
  }
  Status begin() override { return {}; }
  std::chrono::milliseconds now() const override { return now_; }
  Result<bool> advance(std::chrono::milliseconds limit) override {
    now_ += std::min(limit, std::chrono::milliseconds(10));
    ++moves_;
    if (next_event_ < script_.events.size()) script_.events[next_event_++](*this);
    return true;
  }
  Result<RequestId> request(const WorldRequest& request) override {
    std::string word = word_of(request);
    script_.seen.push_back(word);
    requests_.push_back({word, moves_});
    return requests_.size() - 1;
  }
  std::optional<Result<WorldAnswer>> answer(RequestId id) override {
    const auto& [word, begun] = requests_.at(id);
    const auto late = script_.late.find(word);
    if (late != script_.late.end() && moves_ < begun + late->second) return std::nullopt;
    const auto found = script_.answers.find(word);
    if (word.starts_with("start")) script_.job.submitted = true;
    return found == script_.answers.end() ? Result<WorldAnswer>(WorldAnswer{"/" + word, 7})
                                          : found->second;
  }
  Status inject(const WorldFault& fault) override {
    if (const auto* kill = std::get_if<KillStep>(&fault))
      script_.seen.push_back("kill " + to_string(kill->process));
    if (const auto* corrupt = std::get_if<CorruptStep>(&fault))
      script_.seen.push_back("corrupt " + corrupt->snapshot);
    return {};
  }
  const std::vector<SeenMessage>& messages() override { return messages_; }
  Result<SeenJob> job() override { return script_.job; }
  Result<std::vector<std::string>> output() override { return script_.output; }
  Result<std::vector<std::string>> files() override { return script_.files; }
  Result<std::string> latest_snapshot() override { return script_.latest; }
  Result<SnapshotValues> snapshot(const std::string& directory) override {
    const auto found = script_.snapshots.find(directory);
    if (found == script_.snapshots.end())
      return error(Errc::not_found, directory + "/_metadata: there is none");
    return found->second;
  }
  std::string told() override { return script_.told; }
  std::map<std::uint32_t, std::string> vertex_names() override { return {}; }
  bool is_one_process() const override { return false; }
  std::string how_to_repeat() const override { return "say it again"; }

  Script& script() { return script_; }
  void say(std::string from, std::string to, std::string message, std::uint64_t checkpoint = 0) {
    SeenMessage one;
    one.time = now_;
    one.from = std::move(from);
    one.to = std::move(to);
    one.message = std::move(message);
    one.checkpoint = checkpoint;
    messages_.push_back(std::move(one));
  }

 private:
  static std::string word_of(const WorldRequest& request) {
    if (const auto* start = std::get_if<StartJobRequest>(&request))
      return start->restore.empty() ? "start" : "start from " + start->restore;
    if (const auto* savepoint = std::get_if<TakeSavepointRequest>(&request))
      return savepoint->end == SavepointEnd::runs_on     ? "savepoint"
             : savepoint->end == SavepointEnd::cancelled ? "cancel -s"
                                                         : "stop";
    return std::holds_alternative<CancelJobRequest>(request) ? "cancel" : "checkpoint";
  }

  Script& script_;
  std::chrono::milliseconds now_{0};
  int moves_ = 0;
  std::size_t next_event_ = 0;
  std::vector<std::pair<std::string, int>> requests_;
  std::vector<SeenMessage> messages_;
};

}  // namespace weir::test
