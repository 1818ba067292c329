"""The benchmark: how well the next step of people is foretold, beside baselines, in one run.

Strict: what is shared was fitted on other people (folds of people), and a person's own earlier
steps are used test-then-train. Official: what is shared may have seen the person's training part.
Every step of every test recording counts, the first included; losses are proper log-losses over
the closed list of joint classes.
"""
