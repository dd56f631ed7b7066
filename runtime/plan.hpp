#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/exchange.hpp"
#include "runtime/operator.hpp"
#include "runtime/plan_description.hpp"
#include "state/file_system.hpp"

namespace weir {

/// One operator of a plan with its code.
struct PlanOperator {
  OperatorDescription description;
  std::function<std::unique_ptr<Operator>()>
      make;  ///< one for each subtask; called on the task thread
  /// Whether what a source reads when it begins is there; null if nothing can be said. Lets whoever submits
  /// the job find out before anything is made for it. May block.
  std::function<Status(FileSystem&)> check_input;
};

/// One edge of a plan with its code.
struct PlanEdge {
  EdgeDescription description;
  /// Makes the writer of one producing subtask; null if the record type is not described, which an
  /// edge between tasks must be.
  std::function<std::unique_ptr<ExchangeWriter>(std::vector<std::shared_ptr<Channel>> channels,
                                                std::uint32_t producer_subtask,
                                                std::uint32_t max_parallelism)>
      make_writer;
  std::function<std::unique_ptr<AnyBatch>()>
      make_batch;  ///< the codec: an empty batch to decode into
};

/// A job as its function built it: operators and edges with their code. The same function with the
/// same arguments builds the same plan in every process.
struct Plan {
  std::vector<PlanOperator> operators;  ///< in topological order
  std::vector<PlanEdge> edges;
  [[nodiscard]] PlanDescription describe() const;
};

}  // namespace weir
