#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "actors/job_libraries.hpp"
#include "runtime/caught_calls.hpp"
#include "runtime/operator.hpp"

namespace weir {

/// What a simulation sees of the operators of its job, in all processes, and does to them.
/// Threads: one.
class OperatorWatch {
 public:
  /// From the `calls`-th call of a function of the job from now on, `times` of them throw.
  void fail_calls(std::uint64_t calls, std::uint64_t times);
  /// Calls that have thrown because of `fail_calls`.
  [[nodiscard]] std::uint64_t failed_calls() const { return failed_; }
  void heal() { calls_to_failure_ = 0; }

  /// Sources that have nothing more to give wait with saying so.
  void hold_sources() { held_ = true; }
  /// No longer.
  void release_sources();
  /// How many subtasks of sources wait.
  [[nodiscard]] std::size_t waiting_sources() const { return waiting_.size(); }

  /// Records that sources have emitted, again and again if they were restored, by the uid of the source.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& records() const { return records_; }

  /// Code of the job that runs now has called `function`.
  void catch_call(CaughtCall call, std::string_view function);
  /// What was caught, a sentence for each operator and function, in their order.
  [[nodiscard]] const std::set<std::string>& caught() const { return caught_; }

  // For the operators themselves.
  void before_call();
  /// The operator with this uid runs; null: none does.
  void set_running(const std::string* uid) { running_ = uid; }
  void count(const std::string& uid, std::uint64_t records) { records_[uid] += records; }
  [[nodiscard]] bool held() const { return held_; }
  void wait(const void* source, std::function<void()> wake) { waiting_[source] = std::move(wake); }
  void gone(const void* source) { waiting_.erase(source); }

 private:
  std::uint64_t calls_to_failure_ = 0;  ///< the call that throws; 0: none is due
  std::uint64_t failures_left_ = 0;
  std::uint64_t failed_ = 0;
  bool held_ = false;
  std::map<const void*, std::function<void()>> waiting_;
  std::map<std::string, std::uint64_t> records_;
  const std::string* running_ = nullptr;
  std::set<std::string> caught_;
};

/// Builds the plans of `inner` with every operator watched. Both outlive this and the plans.
class WatchedLibraries final : public JobLibraries {
 public:
  WatchedLibraries(JobLibraries& inner, std::shared_ptr<OperatorWatch> watch)
      : inner_(inner), watch_(std::move(watch)) {}
  [[nodiscard]] Result<std::shared_ptr<const Plan>> build_plan(
      const std::string& library_sha256, const std::vector<std::string>& arguments,
      const std::map<std::string, std::string>& configuration) override;

 private:
  JobLibraries& inner_;
  const std::shared_ptr<OperatorWatch> watch_;
};

}  // namespace weir
