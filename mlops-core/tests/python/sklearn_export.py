"""Writes a fitted scikit-learn model as the JSON that `ImportedModel::from_sklearn_json` reads.

    import json, sklearn_export
    json.dump(sklearn_export.export(model, feature_names), open("model.json", "w"))

Decision trees, random forests, extra trees, gradient boosting, histogram gradient boosting, linear and logistic regression, ridge, lasso; alone or
as the last step of a Pipeline after StandardScaler, MinMaxScaler, SimpleImputer, OneHotEncoder (texts), or a ColumnTransformer of these.
Categories of histogram gradient boosting are numbers. Written for scikit-learn 1.9. What it does not know raises NotImplementedError.
"""

import numpy as np
import sklearn
from sklearn import compose, ensemble, linear_model, pipeline, preprocessing, tree
from sklearn.impute import SimpleImputer

LINEAR = (linear_model.LinearRegression, linear_model.Ridge, linear_model.Lasso, linear_model.ElasticNet)


def export(model, names):
    """The document of a model that takes features of these names."""
    features = [{"name": str(name)} for name in names]
    columns = [{"feature": i, "changes": []} for i in range(len(features))]
    if isinstance(model, pipeline.Pipeline):
        for _, step in model.steps[:-1]:
            columns = transformed(step, columns, features)
        model = model.steps[-1][1]
    if getattr(model, "_preprocessor", None) is not None:
        columns = ordinals(model._preprocessor, columns)
    body, answer = estimator(model)
    document = {"format": "mlops.sklearn/v1", "sklearn": sklearn.__version__, "features": features, "model": body, "answer": answer}
    if columns != [{"feature": i, "changes": []} for i in range(len(features))]:
        document["columns"] = columns
    return document


def then(column, kind, value):
    return {"feature": column["feature"], "changes": column["changes"] + [{kind: value}]}


def transformed(step, columns, features):
    if step == "passthrough":
        return columns
    if isinstance(step, pipeline.Pipeline):
        for _, inner in step.steps:
            columns = transformed(inner, columns, features)
        return columns
    if isinstance(step, compose.ColumnTransformer):
        out = []
        names = [feature["name"] for feature in features]
        for _, inner, chosen in step.transformers_:
            if isinstance(inner, str) and inner == "drop":
                continue
            chosen = [chosen] if isinstance(chosen, (str, int)) else list(chosen)
            chosen = [names.index(c) if isinstance(c, str) else int(c) for c in chosen]
            out += transformed(inner, [columns[c] for c in chosen], features)
        return out
    if isinstance(step, preprocessing.StandardScaler):
        center = step.mean_ if step.with_mean else np.zeros(len(columns))
        scale = step.scale_ if step.with_std else np.ones(len(columns))
        return [then(c, "standard", {"center": m, "scale": s}) for c, m, s in zip(columns, center.tolist(), scale.tolist())]
    if isinstance(step, preprocessing.MinMaxScaler):
        scaled = [then(c, "linear", {"factor": f, "offset": o}) for c, f, o in zip(columns, step.scale_.tolist(), step.min_.tolist())]
        if step.clip:
            low, high = map(float, step.feature_range)
            scaled = [then(c, "clip", {"low": low, "high": high}) for c in scaled]
        return scaled
    if isinstance(step, SimpleImputer) and step.indicator_ is None and np.isnan(step.missing_values):
        return [then(c, "fill", float(v)) for c, v in zip(columns, step.statistics_)]
    if isinstance(step, preprocessing.OneHotEncoder):
        out = []
        for i, (column, categories) in enumerate(zip(columns, step.categories_)):
            if not all(isinstance(category, str) for category in categories) or column["changes"]:
                raise NotImplementedError("one-hot encoding of what is no text")
            features[column["feature"]]["levels"] = list(categories)
            dropped = None if step.drop_idx_ is None else step.drop_idx_[i]
            out += [then(column, "equals", float(code)) for code in range(len(categories)) if code != dropped]
        return out
    raise NotImplementedError(type(step).__name__)


def ordinals(preprocessor, columns):
    """Histogram gradient boosting puts categorical columns first, and numbers their categories."""
    out = []
    for _, step, chosen in preprocessor.transformers_:
        chosen = np.flatnonzero(chosen) if np.asarray(chosen).dtype == bool else chosen
        for place, c in enumerate(chosen):
            if not hasattr(step, "categories_"):
                out.append(columns[c])
                continue
            pairs = [(float(key), float(code)) for code, key in enumerate(step.categories_[place]) if key == key]
            out.append(then(columns[c], "lookup", {"keys": [key for key, _ in pairs], "values": [code for _, code in pairs]}))
    return out


def classes(model):
    """The answer of a classifier, and whether it is binary."""
    if len(model.classes_) == 2:
        return "probability", True
    numbers = model.classes_.tolist()
    return {"classes": [float(c) if isinstance(c, (int, float)) else float(i) for i, c in enumerate(numbers)]}, False


def estimator(model):
    if isinstance(model, linear_model.LogisticRegression):
        answer, binary = classes(model)
        link = "logistic" if binary else "softmax"
        return {"linear": {"weights": model.coef_.tolist(), "intercepts": model.intercept_.tolist(), "link": link}}, answer
    if isinstance(model, LINEAR):
        weights = np.atleast_2d(model.coef_)
        intercepts = np.broadcast_to(model.intercept_, len(weights))
        return {"linear": {"weights": weights.tolist(), "intercepts": intercepts.tolist(), "link": "identity"}}, "value"
    if isinstance(model, tree.BaseDecisionTree):
        return averaged([model], model)
    if isinstance(model, (ensemble.RandomForestClassifier, ensemble.RandomForestRegressor, ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor)):
        return averaged(model.estimators_, model)
    if isinstance(model, (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)):
        return boosted(model)
    if isinstance(model, (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)):
        return histograms(model)
    raise NotImplementedError(type(model).__name__)


def nodes(fitted, values, output=0):
    inner = fitted.children_left >= 0
    return {
        "output": output,
        "feature": np.where(inner, fitted.feature, -1).tolist(),
        # A question whether a value is missing has an infinite threshold, which JSON does not know.
        "threshold": [None if np.isinf(t) else t for t in np.where(inner, fitted.threshold, 0.0).tolist()],
        "left": np.where(inner, fitted.children_left, 0).tolist(),
        "right": np.where(inner, fitted.children_right, 0).tolist(),
        "missing_left": [bool(m) for m in np.asarray(fitted.missing_go_to_left)],
        "value": [v.tolist() if not i else [0.0] * len(v) for i, v in zip(inner, values)],
    }


def forest(trees, start, divisor=1.0, link="identity", narrow=True, width=1):
    return {"forest": {"narrow": narrow, "start": start, "divisor": float(divisor), "link": link, "width": width, "trees": trees}}


def averaged(trees, model):
    if getattr(model, "n_outputs_", 1) != 1:
        raise NotImplementedError("several outputs")
    regression = not hasattr(model, "classes_")
    values = [t.tree_.value[:, 0, :] for t in trees]
    if not regression:
        values = [v / v.sum(axis=1, keepdims=True) for v in values]
    width = values[0].shape[1]
    all_trees = [nodes(t.tree_, v) for t, v in zip(trees, values)]
    answer = "value" if regression else classes(model)[0]
    return forest(all_trees, [0.0] * width, len(trees), width=width), answer


def boosted(model):
    if model.init_ == "zero":
        start = np.zeros(model.estimators_.shape[1])
    else:
        start = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))[0]
    trees = [
        nodes(stage[k].tree_, model.learning_rate * stage[k].tree_.value[:, 0, :], k)
        for stage in model.estimators_
        for k in range(len(stage))
    ]
    if not hasattr(model, "classes_"):
        return forest(trees, start.tolist()), "value"
    answer, binary = classes(model)
    if model.loss != "log_loss":
        raise NotImplementedError(model.loss)
    return forest(trees, start.tolist(), link="logistic" if binary else "softmax"), answer


def members(words):
    return [32 * i + bit for i, word in enumerate(words) for bit in range(32) if int(word) >> bit & 1]


def histograms(model):
    known_bits, feature_map = model._bin_mapper.make_known_categories_bitsets()
    trees = []
    for stage in model._predictors:
        for k, predictor in enumerate(stage):
            left, right = {}, {}
            for i, node in enumerate(predictor.nodes):
                if node["is_leaf"] or not node["is_categorical"]:
                    continue
                goes_left = members(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
                if node["missing_go_to_left"]:
                    # Categories that are not known go where missing values go.
                    known = members(known_bits[feature_map[node["feature_idx"]]])
                    right[i] = sorted(set(known) - set(goes_left))
                else:
                    left[i] = goes_left
            all_nodes = predictor.nodes
            inner = [not n["is_leaf"] for n in all_nodes]
            trees.append({
                "output": k,
                "feature": [int(n["feature_idx"]) if i else -1 for n, i in zip(all_nodes, inner)],
                "threshold": [
                    None if i and np.isinf(n["num_threshold"]) else float(n["num_threshold"]) if i and not n["is_categorical"] else 0.0
                    for n, i in zip(all_nodes, inner)
                ],
                "left": [int(n["left"]) if i else 0 for n, i in zip(all_nodes, inner)],
                "right": [int(n["right"]) if i else 0 for n, i in zip(all_nodes, inner)],
                "missing_left": [bool(n["missing_go_to_left"]) for n in all_nodes],
                "value": [[float(n["value"])] for n in all_nodes],
                "left_categories": left,
                "right_categories": right,
            })
    start = model._baseline_prediction.reshape(-1).tolist()
    if hasattr(model, "classes_"):
        answer, binary = classes(model)
        return forest(trees, start, link="logistic" if binary else "softmax", narrow=False), answer
    link = "exp" if model.loss in ("poisson", "gamma") else "identity"
    return forest(trees, start, link=link, narrow=False), "value"
