#pragma once

/// All that a job author includes.
#include "api/data_stream.hpp"
#include "api/functions.hpp"
#include "api/job.hpp"
#include "api/parameters.hpp"
#include "api/stream_environment.hpp"
#include "state/fields.hpp"
