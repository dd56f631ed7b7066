#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/data_stream.hpp"
#include "api/parameters.hpp"
#include "api/plan_builder.hpp"
#include "connectors/collection_source.hpp"
#include "connectors/generator_source.hpp"

namespace weir {

/// Where a job begins: its arguments, its settings and its sources. Every process that takes part in
/// the job runs the job function on an environment of its own and must get the same plan, so the
/// function depends on its arguments alone. A function that `WEIR_JOB` registers (api/job.hpp) is given
/// one as `env`:
///
///   env.set_parallelism(2);
///   env.enable_checkpointing(std::chrono::seconds(10));
///   const auto paths = env.parameters().all("input");
///   env.read_text(paths, 1000)
///       .filter([](const std::string& line) { return line.starts_with("ERROR"); })
///       .write_files(env.parameters().required("output"), [](const std::string& line) { return line; })
///       .uid("errors");
///
/// Nothing is read or written here. What is wrong (an unknown key, a missing argument, a parallelism of 0)
/// is kept, and told when the plan is built.
/// Threads: one.
class StreamEnvironment {
 public:
  /// `arguments` are the job's own; `parallelism` is what operators have that set none; relative paths
  /// count from `working_directory`, which is absolute.
  StreamEnvironment(const std::vector<std::string>& arguments, std::uint32_t parallelism,
                    std::string working_directory);
  StreamEnvironment(const StreamEnvironment&) = delete;
  StreamEnvironment& operator=(const StreamEnvironment&) = delete;

  /// The job's arguments: `--input PATH`.
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  // Settings of the job's own. They win over the configuration file and lose against -D.
  /// Any key of docs/configuration.md but those of processes, which serve other jobs too. The last
  /// value of a key counts. An unknown key or a bad value is an error when the plan is built.
  void configure(const std::string& key, const std::string& value);
  /// A checkpoint every `interval`, above 0; none are periodic by default.
  void enable_checkpointing(std::chrono::milliseconds interval) {
    configure("execution.checkpointing.interval", std::to_string(interval.count()) + " ms");
  }
  /// The parallelism, at least 1, of operators that set none; -p and `parallelism.default` are the default.
  void set_parallelism(std::uint32_t parallelism) { parallelism_ = parallelism; }
  [[nodiscard]] std::uint32_t parallelism() const { return parallelism_; }
  /// The largest parallelism ever of operators that set none, as `DataStream::set_max_parallelism`.
  void set_max_parallelism(std::uint32_t max_parallelism) { max_parallelism_ = max_parallelism; }

  // Sources.
  /// The lines of text files, without newline. A path is a file, or a directory whose files are read,
  /// those in directories below too. Read in parallel, in splits of 4 MiB, each line exactly once.
  /// `lines_per_second` over all subtasks; 0: as fast as possible.
  [[nodiscard]] DataStream<std::string> read_text(const std::vector<std::string>& paths,
                                                  double lines_per_second = 0);
  /// The lines of standard input. Cannot be restored from a snapshot.
  [[nodiscard]] DataStream<std::string> read_standard_input(double lines_per_second = 0);
  /// `values` in order, from one subtask.
  template <class T>
  [[nodiscard]] DataStream<T> from_collection(std::vector<T> values) {
    auto stream = add_source<T>("collection", [values = std::move(values)] {
      return std::make_unique<CollectionSource<T>>(values);
    });
    stream.set_parallelism(1);
    return stream;
  }
  /// `f(index)` for the indices from 0 up to, not including, `count`; each once over all subtasks.
  /// `records_per_second` over all subtasks; 0: as fast as possible.
  template <class F>
  [[nodiscard]] auto generate(std::uint64_t count, F f, double records_per_second = 0) {
    using T = std::remove_cvref_t<std::invoke_result_t<F&, std::uint64_t>>;
    return add_source<T>("generator", [count = std::min(count, most_generated_), f,
                                       rate = rate_of(records_per_second)] {
      return std::make_unique<GeneratorSource<T, F>>(f, count, rate);
    });
  }
  /// `generate` ends after so many records, also where the job asks for more: for a simulation of a job that does not
  /// end. To be called before the job function.
  void limit_generators(std::uint64_t records) { most_generated_ = records; }
  /// A source that is not built in; `make` is called once for each subtask. `check_input`, if there is one,
  /// says whether what it reads is there, and is called before the job begins anew.
  template <class T>
  [[nodiscard]] DataStream<T> add_source(const std::string& name,
                                         std::function<std::unique_ptr<Operator>()> make,
                                         std::function<Status(FileSystem&)> check_input = {}) {
    const std::uint32_t index = builder_.add_operator({.name = name,
                                                       .make = std::move(make),
                                                       .source = true,
                                                       .stateful = true,
                                                       .check_input = std::move(check_input)});
    return DataStream<T>(&builder_, {output_of<T>(index)});
  }

  /// Whether the job can do with its arguments and with the paths that it was given. Errors: as
  /// `Parameters::check`; then `unsupported` or `invalid_argument` for the first path that is none.
  [[nodiscard]] Status check_arguments() const;
  /// What the job function has put together. Errors: those of the arguments, then those of the settings,
  /// then those of the plan.
  [[nodiscard]] Result<Plan> build() const;
  /// By key, without deprecated names.
  [[nodiscard]] const std::map<std::string, std::string>& settings() const { return settings_; }

 private:
  /// None for 0: as fast as possible.
  [[nodiscard]] static std::optional<double> rate_of(double per_second) {
    return per_second > 0 ? std::optional(per_second) : std::nullopt;
  }
  Parameters parameters_;
  PlanBuilder builder_;
  std::uint32_t parallelism_;
  std::optional<std::uint32_t> max_parallelism_;
  std::uint64_t most_generated_ = unlimited;
  std::map<std::string, std::string> settings_;
  std::optional<Error> settings_error_;  ///< the first one
};

}  // namespace weir
