"""Which node a pod runs on: cycle, queue, columns, filters/, scores/, preemption."""
