#pragma once

/// All that the author of a job includes to test it (docs/testing.md), with any test framework or none. To be included
/// before the source of a job, which then brings no `main` of its own.
#include "api/weir/weir.hpp"
#include "simulation/testing/failure.hpp"
#include "simulation/testing/fault_sets.hpp"
#include "simulation/testing/operator_harness.hpp"
#include "simulation/testing/simulation.hpp"

#undef WEIR_JOB_MAIN
#define WEIR_JOB_MAIN
