"""How a study is shown: progress, answer, recipe, output folder."""
