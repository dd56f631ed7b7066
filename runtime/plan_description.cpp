#include "runtime/plan_description.hpp"

#include <map>

#include "runtime/operator_label.hpp"
#include "state/key_groups.hpp"

namespace weir {

namespace {

Status check_operator(const OperatorDescription& op) {
  if (op.max_parallelism < 1 || op.max_parallelism > max_key_groups)
    return error(Errc::invalid_argument, operator_label(op) + " has the maximum parallelism " +
                                             std::to_string(op.max_parallelism) +
                                             "; set one from 1 to " +
                                             std::to_string(max_key_groups));
  if (op.parallelism < 1)
    return error(Errc::invalid_argument,
                 operator_label(op) + " has the parallelism 0; set one of at least 1");
  if (op.parallelism > op.max_parallelism)
    return error(Errc::invalid_argument,
                 operator_label(op) + " has the parallelism " + std::to_string(op.parallelism) +
                     ", above its maximum parallelism of " + std::to_string(op.max_parallelism) +
                     "; lower the parallelism or raise the maximum");
  if (!op.output_directory.empty() && !op.output_directory.starts_with('/'))
    return error(Errc::invalid_argument, operator_label(op) + " writes to '" + op.output_directory +
                                             "', which is not an absolute path; give it one");
  return {};
}

Status check_edge(const PlanDescription& plan, std::size_t index) {
  const EdgeDescription& edge = plan.edges[index];
  const std::size_t count = plan.operators.size();
  if (edge.producer >= count || edge.consumer >= count)
    return error(Errc::invalid_argument,
                 "edge " + std::to_string(index) + " of the plan names operator " +
                     std::to_string(std::max(edge.producer, edge.consumer)) + ", but there are " +
                     std::to_string(count) + "; the plan is damaged");
  const OperatorDescription& producer = plan.operators[edge.producer];
  const OperatorDescription& consumer = plan.operators[edge.consumer];
  if (edge.producer >= edge.consumer)
    return error(Errc::invalid_argument, "the edge from " + operator_label(producer) + " to " +
                                             operator_label(consumer) +
                                             " points backwards; a plan has no cycles");
  if (edge.partitioning == Partitioning::forward && producer.parallelism != consumer.parallelism)
    return error(Errc::invalid_argument,
                 "the forward edge from " + operator_label(producer) + " with parallelism " +
                     std::to_string(producer.parallelism) + " to " + operator_label(consumer) +
                     " with parallelism " + std::to_string(consumer.parallelism) +
                     " cannot pair their subtasks; give both the same parallelism, or rebalance() "
                     "between them");
  return {};
}

}  // namespace

std::uint64_t plan_hash(const PlanDescription& plan) { return hash_bytes(encode_value(plan)); }

JobGraph build_job_graph(const PlanDescription& plan) {
  const std::size_t count = plan.operators.size();
  std::vector<std::size_t> inputs(count, 0);
  for (const EdgeDescription& edge : plan.edges) {
    WEIR_ASSERT(edge.producer < edge.consumer && edge.consumer < count);
    ++inputs[edge.consumer];
  }
  // The edge over which an operator joins its producer's task.
  std::vector<const EdgeDescription*> chained(count, nullptr);
  for (const EdgeDescription& edge : plan.edges) {
    const bool same =
        plan.operators[edge.producer].parallelism == plan.operators[edge.consumer].parallelism;
    if (edge.partitioning == Partitioning::forward && same && inputs[edge.consumer] == 1)
      chained[edge.consumer] = &edge;
  }

  JobGraph graph;
  graph.vertex_of.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const OperatorDescription& op = plan.operators[i];
    if (chained[i]) {
      // Producers come first, so that the producer's vertex is known.
      const std::uint32_t vertex = graph.vertex_of[chained[i]->producer];
      graph.vertex_of[i] = vertex;
      graph.vertices[vertex].operators.push_back(i);
      graph.vertices[vertex].name += " -> " + op.name;
    } else {
      graph.vertex_of[i] = static_cast<std::uint32_t>(graph.vertices.size());
      graph.vertices.push_back({{i}, op.parallelism, op.max_parallelism, op.source, op.name});
    }
  }
  for (std::uint32_t i = 0; i < plan.edges.size(); ++i)
    if (chained[plan.edges[i].consumer] != &plan.edges[i]) graph.exchange_edges.push_back(i);
  return graph;
}

Status check_plan(const PlanDescription& plan) {
  if (plan.operators.empty())
    return error(Errc::invalid_argument,
                 "the job has no operators; its function must add at least a source");
  std::map<std::string_view, const OperatorDescription*> by_uid;
  for (const OperatorDescription& op : plan.operators) {
    WEIR_TRY(check_operator(op));
    const auto [other, added] = by_uid.emplace(op.uid, &op);
    if (!added)
      return error(Errc::invalid_argument, "two operators have the uid '" + op.uid + "': '" +
                                               other->second->name + "' and '" + op.name +
                                               "'; give each a uid(...) of its own");
  }
  for (std::size_t i = 0; i < plan.edges.size(); ++i) WEIR_TRY(check_edge(plan, i));
  return {};
}

}  // namespace weir
