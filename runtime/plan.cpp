#include "runtime/plan.hpp"

namespace weir {

PlanDescription Plan::describe() const {
  PlanDescription description;
  for (const PlanOperator& one : operators) description.operators.push_back(one.description);
  for (const PlanEdge& edge : edges) description.edges.push_back(edge.description);
  return description;
}

}  // namespace weir
