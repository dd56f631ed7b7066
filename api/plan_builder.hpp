#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/plan.hpp"

namespace weir {

using WriterFactory = decltype(PlanEdge::make_writer);

/// Where records come from: an operator's output, and how they are dealt out on the way.
struct Upstream {
  std::uint32_t producer = 0;
  std::string tag;
  Partitioning partitioning = Partitioning::forward;
  WriterFactory make_writer;     ///< for `partitioning`; null for forward
  WriterFactory make_forward;    ///< null if the records are not described
  WriterFactory make_rebalance;  ///< likewise
};

/// Collects operators and edges while a job function runs, and makes the plan of them. Job authors do not
/// name it.
/// Threads: one.
class PlanBuilder {
 public:
  struct OperatorSpec {
    std::string name;
    std::function<std::unique_ptr<Operator>()> make;
    bool source = false;
    bool stateful = false;
    bool transactional = false;
    std::string output_directory = {};
    std::optional<std::uint32_t> parallelism = std::nullopt;
    std::optional<std::uint32_t> max_parallelism = std::nullopt;
    std::string uid = {};
    std::function<Status(FileSystem&)> check_input = {};
  };

  /// Relative paths of the job count from `working_directory`, which is absolute.
  explicit PlanBuilder(std::string working_directory)
      : working_directory_(std::move(working_directory)) {}
  /// `path`, plain or `file://`, made absolute (`parse_path`); an empty one stays empty. What is wrong with
  /// it is kept for `check_paths`.
  [[nodiscard]] std::string absolute(const std::string& path);
  /// Errors: of the first path that `absolute` could not read, such as `s3://bucket/path`.
  [[nodiscard]] Status check_paths() const {
    return path_error_ ? Status(std::unexpected(*path_error_)) : Status();
  }

  /// Returns the operator's index, from 0. Makes its output directory absolute.
  std::uint32_t add_operator(OperatorSpec spec);
  /// Feeds input `input` of `consumer` from each of `upstream`.
  void connect(const std::vector<Upstream>& upstream, std::uint32_t consumer, std::uint32_t input,
               const Schema& schema, const std::function<std::unique_ptr<AnyBatch>()>& make_batch);

  void set_uid(std::uint32_t index, const std::string& uid) { operators_[index].uid = uid; }
  void set_name(std::uint32_t index, const std::string& name) { operators_[index].name = name; }
  void set_parallelism(std::uint32_t index, std::uint32_t parallelism) {
    operators_[index].parallelism = parallelism;
  }
  void set_max_parallelism(std::uint32_t index, std::uint32_t max) {
    operators_[index].max_parallelism = max;
  }

  /// The plan. A forward edge between operators of unequal parallelism becomes rebalance, as in Flink.
  /// `parallelism` and `max_parallelism` are the job's defaults.
  /// Errors: `invalid_argument`, as `check_plan`, or if records that must cross tasks are not described.
  [[nodiscard]] Result<Plan> build(std::uint32_t parallelism,
                                   std::optional<std::uint32_t> max_parallelism) const;

 private:
  struct EdgeSpec {
    Upstream upstream;
    std::uint32_t consumer = 0;
    std::uint32_t input = 0;
    Schema schema;
    std::function<std::unique_ptr<AnyBatch>()> make_batch;
  };
  std::string working_directory_;
  std::optional<Error> path_error_;  ///< the first one
  std::vector<OperatorSpec> operators_;
  std::vector<EdgeSpec> edges_;
};

/// The schema of `T`, or a raw one for records that never leave their task.
template <class T>
[[nodiscard]] Schema schema_or_none() {
  if constexpr (Described<T>)
    return schema_of<T>();
  else
    return {SchemaKind::raw, "not described", {}, 0, {}};
}

template <class T>
[[nodiscard]] WriterFactory forward_writer() {
  return [](std::vector<std::shared_ptr<Channel>> channels, std::uint32_t,
            std::uint32_t) -> std::unique_ptr<ExchangeWriter> {
    return std::make_unique<ForwardWriter<T>>(std::move(channels));
  };
}
template <class T>
[[nodiscard]] WriterFactory rebalance_writer() {
  return [](std::vector<std::shared_ptr<Channel>> channels, std::uint32_t subtask,
            std::uint32_t) -> std::unique_ptr<ExchangeWriter> {
    return std::make_unique<RebalanceWriter<T>>(std::move(channels), subtask);
  };
}
template <class T>
[[nodiscard]] WriterFactory broadcast_writer() {
  return [](std::vector<std::shared_ptr<Channel>> channels, std::uint32_t,
            std::uint32_t) -> std::unique_ptr<ExchangeWriter> {
    return std::make_unique<BroadcastWriter<T>>(std::move(channels));
  };
}

/// The output `tag` (empty: the main one) of operator `index`, which emits records of type `T`.
template <class T>
[[nodiscard]] Upstream output_of(std::uint32_t index, std::string tag = {}) {
  Upstream upstream;
  upstream.producer = index;
  upstream.tag = std::move(tag);
  if constexpr (Described<T>) {
    upstream.make_forward = forward_writer<T>();
    upstream.make_rebalance = rebalance_writer<T>();
  }
  return upstream;
}

/// The end of a stream, and of the expression that puts it together.
///
///   words.print().name("words").uid("print");
///
class Sink {
 public:
  Sink(PlanBuilder* builder, std::uint32_t index) : builder_(builder), index_(index) {}
  /// As those of `DataStream`.
  Sink& uid(const std::string& uid) {
    builder_->set_uid(index_, uid);
    return *this;
  }
  Sink& name(const std::string& name) {
    builder_->set_name(index_, name);
    return *this;
  }
  Sink& set_parallelism(std::uint32_t parallelism) {
    builder_->set_parallelism(index_, parallelism);
    return *this;
  }

 private:
  PlanBuilder* builder_;
  std::uint32_t index_;
};

}  // namespace weir
